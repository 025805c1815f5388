//! `dsn demo`: the whole story on one machine, without any set-up: farmers as real processes, a real file, a third of the
//! farmers killed, the file back, compared byte for byte; then its pieces come back by themselves, as many farmers are
//! killed again, and the file is still there.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use dsn_cli::{Exit, Failure, human_bytes, print_json, print_line};
use dsn_client::{
    NoProgress, PutOptions,
    input::FileInput,
    output::{FileOutput, Overwrite},
};
use dsn_core::cid::Cid;
use serde_json::json;

use crate::{
    args::Demo,
    context::Context,
    failures, fleet,
    interrupt::Interrupts,
    scratch::{self, Scratch},
    session::Session,
};

const NETWORK: &str = "demo";
const MADE_UP_BYTES: u64 = 64 << 20;
const FARMERS: u16 = 12;
const KILLED: usize = 4;

/// How long a silent farmer still counts: a day in earnest, seconds here.
const ABSENT_GRACE: &str = "5s";

/// The pieces are back within this time, or something is wrong.
const REPAIR_WAIT: Duration = Duration::from_secs(120);

pub(crate) async fn run(context: &Context, args: &Demo) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let scratch = Scratch::new("demo")?;
    let file = match &args.file {
        Some(file) => file.clone(),
        None => scratch.made_up(MADE_UP_BYTES)?,
    };
    let options = fleet::FleetOptions {
        root: scratch.path().to_path_buf(),
        farmers: FARMERS,
        storage: "10GiB".into(),
        disk_reserve: Some("64MiB".into()),
        absent_grace: Some(ABSENT_GRACE.into()),
        network: NETWORK.into(),
        psk: None,
    };
    let story = async {
        let started = Instant::now();
        let mut members = fleet::start(&options).await?;
        tell(context, "farmers", format!("{FARMERS} processes ready in {:.1} s", started.elapsed().as_secs_f64()));
        let told = tell_story(context, scratch.path(), &file, &mut members).await;
        fleet::stop(&mut members).await;
        told
    };
    interrupts.or(story, "nothing is left behind").await
}

async fn tell_story(context: &Context, dir: &Path, file: &Path, members: &mut [fleet::Member]) -> Result<(), Failure> {
    let own = fleet::guest(context, dir, NETWORK, members)?;
    let started = Instant::now();
    let session = Session::open(&own).await?;
    let mut input = FileInput::open(file).map_err(|error| failures::input(&error))?;
    let put = session.client.put(&mut input, PutOptions::default(), &NoProgress).await;
    let put = put.map_err(|error| failures::put(&error, None))?;
    session.close(&own).await;
    let (seconds, size) = (started.elapsed().as_secs_f64(), human_bytes(put.bytes));
    tell(context, "put", format!("{size} in {seconds:.1} s: {} pieces on {} farmers", put.pieces, put.farmers));
    tell(context, "cid", put.cid.to_string());
    kill(members, 0).await?;
    tell(context, "killed", format!("{KILLED} of {FARMERS} farmers (SIGKILL); any {} may vanish", put.may_vanish));
    let there = Stored { cid: put.cid, file, size: &size };
    there.get(context, &own, &dir.join("copy")).await?;
    there.watch_repair(context, &own).await?;
    kill(members, KILLED).await?;
    tell(context, "killed", format!("{KILLED} more; {} farmers are left", usize::from(FARMERS) - 2 * KILLED));
    there.get(context, &own, &dir.join("second-copy")).await
}

/// Kills farmers at once, from this one on.
async fn kill(members: &mut [fleet::Member], from: usize) -> Result<(), Failure> {
    for member in members.iter_mut().skip(from).take(KILLED) {
        member.kill().await?;
    }
    Ok(())
}

/// The file of the story on its network.
struct Stored<'a> {
    cid: Cid,
    file: &'a Path,
    size: &'a str,
}

impl Stored<'_> {
    /// Gets the file and compares it.
    async fn get(&self, context: &Context, own: &Context, copy: &Path) -> Result<(), Failure> {
        let started = Instant::now();
        let session = Session::open(own).await?;
        let mut output = FileOutput::new(copy, Overwrite::Never).map_err(|error| failures::output(&error))?;
        let get = session.client.get(self.cid, &mut output, &NoProgress).await;
        let get = get.map_err(|error| failures::get(&error))?;
        session.close(own).await;
        let (seconds, size) = (started.elapsed().as_secs_f64(), self.size);
        tell(context, "get", format!("{size} in {seconds:.1} s, {} chunks computed from parity", get.decoded_chunks));
        if !scratch::same(self.file, copy).map_err(|error| Failure::of(Exit::Disk, &error))? {
            return Err(Failure::new(Exit::Integrity, "the file that came back is not the one that was put"));
        }
        tell(context, "compared", "the file is back, bit for bit".into());
        Ok(())
    }

    /// Waits until as many farmers may vanish as have been killed.
    async fn watch_repair(&self, context: &Context, own: &Context) -> Result<(), Failure> {
        let started = Instant::now();
        let session = Session::open(own).await?;
        loop {
            let stat = session.client.stat(self.cid).await.map_err(|error| failures::stat(&error))?;
            let (live, vanish) = (stat.live_min, stat.may_vanish);
            if vanish >= KILLED {
                session.close(own).await;
                let seconds = started.elapsed().as_secs_f64();
                tell(
                    context,
                    "repaired",
                    format!("by the farmers themselves in {seconds:.1} s: any {vanish} may vanish again"),
                );
                return Ok(());
            }
            if started.elapsed() > REPAIR_WAIT {
                let error = format!("the weakest chunk has {live} pieces; any {vanish} farmers may vanish");
                return Err(Failure::new(Exit::NotEnough, error).named("the farmers did not repair the file"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn tell(context: &Context, step: &str, text: String) {
    if context.json {
        print_json(&json!({"event": step, "text": text}));
    } else {
        print_line(&format!("{step:<9} {text}"));
    }
}
