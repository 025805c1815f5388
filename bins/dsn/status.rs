//! `dsn status`: the farmer that runs in this folder, on demand with a count of everything in its store.

use dsn_cli::{Exit, Failure, counted, human_bytes, print_json, print_line};
use dsn_farmer::FarmerStatus;
use dsn_net::Reach;
use dsn_store::SpaceCheck;
use serde::{Deserialize, Serialize};

use crate::{args::Status, context::Context, control, reach::ReachJson};

/// What a farmer is asked for its [`StatusJson`].
pub(crate) const QUESTION: &str = "status";

/// What it is asked for a [`StatusAnswer`] with a count.
pub(crate) const COUNT_QUESTION: &str = "status --verify-space";

/// A farmer's state as it crosses its socket and as `--json` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StatusJson {
    peer_id: String,
    reserved_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    pieces: u64,
    locators: u64,
    peers: usize,
    received_bytes: u64,
    served_bytes: u64,
    damaged_pieces: u64,
    healed_pieces: u64,
    scrubbed_pieces: u64,
    audits_passed: u64,
    audits_failed: u64,
    repairs: u64,
    repair_queue: usize,
    repair_bytes: u64,
    listen: Vec<String>,
    /// Not told by a farmer of an older version.
    #[serde(default)]
    reach: ReachJson,
    /// What its operator should see to, as sentences.
    problems: Vec<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    count: Option<SpaceCount>,
}

/// What a full count of the store found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpaceCount {
    counted_bytes: u64,
    counted_pieces: u64,
    /// Whether the counters said the same at the same instant, of locators too.
    space_exact: bool,
}

/// What comes of a question with a count.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum StatusAnswer {
    Status(Box<StatusJson>),
    Uncounted { uncounted: String },
}

fn pieces(count: u64) -> String {
    counted(count, "piece", "pieces")
}

impl From<SpaceCheck> for SpaceCount {
    fn from(SpaceCheck { counted, counter }: SpaceCheck) -> Self {
        let (counted_bytes, counted_pieces) = (counted.used_bytes, counted.pieces);
        Self { counted_bytes, counted_pieces, space_exact: counted == counter }
    }
}

impl SpaceCount {
    fn shown(&self) -> String {
        let exact = if self.space_exact { "exact" } else { "not exact" };
        format!("{exact}, {}, {} counted", pieces(self.counted_pieces), human_bytes(self.counted_bytes))
    }

    fn check(&self) -> Result<(), Failure> {
        if self.space_exact {
            return Ok(());
        }
        Err(Failure::new(Exit::Integrity, "the farmer's store does not hold what its counters say")
            .hint("what it holds is served; start the farmer anew in an empty folder if this stays, and report it"))
    }
}

impl StatusJson {
    pub(crate) fn new(
        peer_id: String,
        peers: usize,
        listen: Vec<String>,
        reach: &Reach,
        status: &FarmerStatus,
    ) -> Self {
        Self {
            peer_id,
            reserved_bytes: status.reserved_bytes,
            used_bytes: status.used_bytes,
            free_bytes: status.free_bytes,
            pieces: status.pieces,
            locators: status.locators,
            peers,
            received_bytes: status.received_bytes,
            served_bytes: status.served_bytes,
            damaged_pieces: status.damaged_pieces,
            healed_pieces: status.healed_pieces,
            scrubbed_pieces: status.scrubbed_pieces,
            audits_passed: status.audits_passed,
            audits_failed: status.audits_failed,
            repairs: status.repairs,
            repair_queue: status.repair_queue,
            repair_bytes: status.repair_bytes,
            listen,
            reach: reach.into(),
            problems: Vec::new(),
            count: None,
        }
    }

    pub(crate) fn troubled_by(self, problems: Vec<String>) -> Self {
        Self { problems, ..self }
    }

    pub(crate) fn peers(&self) -> usize {
        self.peers
    }

    pub(crate) fn reach(&self) -> &ReachJson {
        &self.reach
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(crate) fn with(self, count: SpaceCount) -> Self {
        Self { count: Some(count), ..self }
    }

    fn repairs_shown(&self) -> String {
        let moved = human_bytes(self.repair_bytes);
        format!("{} since the start ({moved}), {} chunks wait", self.repairs, self.repair_queue)
    }

    fn print(&self) {
        let used = format!("{} in {}", human_bytes(self.used_bytes), pieces(self.pieces));
        let mut rows =
            vec![("peer id", self.peer_id.clone()), ("lent", human_bytes(self.reserved_bytes)), ("used", used)];
        rows.extend(self.count.as_ref().map(|count| ("space", count.shown())));
        rows.extend([
            ("free", human_bytes(self.free_bytes)),
            ("locators", self.locators.to_string()),
            ("peers", self.peers.to_string()),
            ("received", format!("{} since the start", human_bytes(self.received_bytes))),
            ("served", format!("{} since the start", human_bytes(self.served_bytes))),
            ("damaged", format!("{} since the start, {} healed", pieces(self.damaged_pieces), self.healed_pieces)),
            ("scrubbed", format!("{} since the start", pieces(self.scrubbed_pieces))),
            ("audits", format!("{} passed, {} failed since the start", self.audits_passed, self.audits_failed)),
            ("repairs", self.repairs_shown()),
            ("listening on", self.listen.join(" ")),
            ("reachable", self.reach.shown()),
        ]);
        rows.extend(self.problems.iter().map(|problem| ("problem", problem.clone())));
        rows.iter().for_each(|(name, value)| print_line(&format!("{name:<13} {value}")));
    }
}

/// No farmer runs in the folder.
pub(crate) fn no_farmer(context: &Context) -> Failure {
    Failure::new(Exit::Network, format!("no farmer runs in {}", context.folder.root().display()))
        .hint("start one with `dsn farm --storage SIZE`, or name its folder with --dir DIR")
}

pub(crate) async fn run(context: &Context, args: &Status) -> Result<(), Failure> {
    let question = if args.verify_space { COUNT_QUESTION } else { QUESTION };
    let answer = control::ask(&context.folder, question).await.ok_or_else(|| no_farmer(context))?;
    let answer = serde_json::from_str(&answer).map_err(|error| Failure::of(Exit::Internal, &error))?;
    let status = match answer {
        StatusAnswer::Status(status) => status,
        StatusAnswer::Uncounted { uncounted } => {
            return Err(Failure::new(Exit::Disk, uncounted).named("the farmer could not count its space"));
        }
    };
    if context.json {
        print_json(&status);
    } else {
        status.print();
    }
    status.count.map_or(Ok(()), |count| count.check())
}
