//! A put and a get as a user has them, from a file and into one, and giving up what was put.

use std::{path::Path, time::Duration};

use dsn_cli::{Exit, Failure, note};
use dsn_client::{
    Keep, Privacy, PutOptions, PutReport, Safety,
    input::FileInput,
    output::{FileOutput, Overwrite},
};
use dsn_core::redundancy::Class;

use super::phase::{Phase, Watch};
use crate::{context::Context, failures, scratch, session::Session};

/// Where giving up does not get through, the file is kept no longer than this.
const TTL: Duration = Duration::from_secs(3600);

/// What is put, and where to it comes back.
pub(super) struct Job<'a> {
    pub(super) file: &'a Path,
    pub(super) copy: &'a Path,
    pub(super) class: Class,
}

/// What came of it.
pub(super) struct Done {
    pub(super) phases: Vec<Phase>,
    pub(super) put: PutReport,
}

/// Puts, gets, compares, gives up. `farmers` are processes whose time counts too.
pub(super) async fn measure(context: &Context, job: &Job<'_>, farmers: &[u32]) -> Result<Done, Failure> {
    let session = Session::open(context).await?;
    let done = transfer(context, &session, job, farmers).await;
    session.close(context).await;
    done
}

async fn transfer(context: &Context, session: &Session, job: &Job<'_>, farmers: &[u32]) -> Result<Done, Failure> {
    let mut input = FileInput::open(job.file).map_err(|error| failures::input(&error))?;
    let options = PutOptions { class: job.class, safety: Safety::Required, ttl: Some(TTL), privacy: Privacy::Public };
    let watch = Watch::start("put", farmers);
    let put = session.client.put(&mut input, options, &watch).await;
    let put = put.map_err(|error| failures::put(&error, context.quota()))?;
    let put_phase = watch.end(put.bytes).wire(put.wire_bytes);
    let got = get(session, &put, job, farmers).await;
    // Also after a get that failed.
    if let Err(error) = session.client.keep_file(put.cid, Keep::NoLonger).await {
        note(&format!("{} could not be given up, and is kept for an hour: {error}", put.cid));
    }
    Ok(Done { phases: vec![put_phase, got?], put })
}

async fn get(session: &Session, put: &PutReport, job: &Job<'_>, farmers: &[u32]) -> Result<Phase, Failure> {
    let mut output = FileOutput::new(job.copy, Overwrite::Never).map_err(|error| failures::output(&error))?;
    let watch = Watch::start("get", farmers);
    let got = session.client.get(put.cid, &mut output, &watch).await.map_err(|error| failures::get(&error))?;
    let phase = watch.end(got.bytes).wire(got.wire_bytes);
    if scratch::same(job.file, job.copy).map_err(|error| Failure::of(Exit::Disk, &error))? {
        Ok(phase)
    } else {
        Err(Failure::new(Exit::Integrity, "the file that came back is not the one that was put"))
    }
}
