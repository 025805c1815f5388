//! `dsn drain`: has the farmer that runs in this folder move everything off, and waits for it.

use std::time::Duration;

use dsn_cli::{Exit, Failure, human_bytes, human_span, note, print_json, print_line};
use dsn_farmer::Drain as State;
use serde::{Deserialize, Serialize};

use crate::{args::Drain, context::Context, control, interrupt::Interrupts, status::no_farmer};

/// What a farmer is told and asked.
pub(crate) const START: &str = "drain";
pub(crate) const CANCEL: &str = "drain --cancel";
pub(crate) const STATE: &str = "drain state";

/// It is asked this often how far it is.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How far a drain is, as it crosses the farmer's socket and as `--json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrainJson {
    state: String,
    done_bytes: u64,
    all_bytes: u64,
    moved_bytes: u64,
    stuck_chunks: u64,
    eta_secs: Option<u64>,
}

impl From<State> for DrainJson {
    fn from(state: State) -> Self {
        let eta_secs = state.eta_secs();
        let (word, done_bytes, all_bytes, moved_bytes, stuck_chunks) = match state {
            State::Off => ("off", 0, 0, 0, 0),
            State::Done { moved_bytes } => ("done", 0, 0, moved_bytes, 0),
            State::Moving { done_bytes, all_bytes, moved_bytes, stuck_chunks, .. } => {
                ("moving", done_bytes, all_bytes, moved_bytes, stuck_chunks)
            }
        };
        Self { state: word.into(), done_bytes, all_bytes, moved_bytes, stuck_chunks, eta_secs }
    }
}

pub(crate) async fn run(context: &Context, args: &Drain) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    if args.cancel {
        ask(context, CANCEL).await?;
        note("the farmer takes pieces again; what was copied stays where it is");
        return Ok(());
    }
    let state = ask(context, START).await?;
    if args.no_wait {
        tell(context, &state);
        return Ok(());
    }
    interrupts
        .or(wait(context), "the drain goes on; `dsn drain` shows how far it is, `dsn drain --cancel` ends it")
        .await
}

async fn wait(context: &Context) -> Result<(), Failure> {
    let mut shown = None;
    loop {
        let state = ask(context, STATE).await?;
        match state.state.as_str() {
            "done" => {
                tell(context, &state);
                return Ok(());
            }
            "off" => {
                return Err(Failure::new(Exit::Interrupted, "the drain was called off").hint("dsn drain begins anew"));
            }
            _ if shown.as_ref() != Some(&state) => tell(context, &state),
            _ => {}
        }
        shown = Some(state);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(context: &Context, question: &str) -> Result<DrainJson, Failure> {
    let answer = control::ask(&context.folder, question).await.ok_or_else(|| no_farmer(context))?;
    serde_json::from_str(&answer).map_err(|error| Failure::of(Exit::Internal, &error))
}

fn tell(context: &Context, state: &DrainJson) {
    if context.json {
        return print_json(state);
    }
    let moved = human_bytes(state.moved_bytes);
    match state.state.as_str() {
        "done" => print_line(&format!("drained: {moved} copied; everything is safe without this farmer, it can go")),
        _ => {
            let eta = state.eta_secs.map_or_else(String::new, |secs| {
                format!(", about {} left", human_span(Duration::from_secs(secs.max(1))))
            });
            let stuck = match state.stuck_chunks {
                0 => String::new(),
                n => format!("; {n} chunks find no room yet"),
            };
            let (done, all) = (human_bytes(state.done_bytes), human_bytes(state.all_bytes));
            note(&format!("{done} of {all} looked at, {moved} copied{eta}{stuck}"));
        }
    }
}
