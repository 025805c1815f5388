//! `dsn sync follow`: keeps a folder as a name says. What cannot be fetched now is tried again the next time; what was
//! changed here ends it.

use std::time::Instant;

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, print_line};
use dsn_client::{GetReport, NameVersion, Named, output::Overwrite, tree::DiskTreeOutput};
use dsn_core::name::{Name, NameBody};
use serde_json::json;

use super::{
    replica::{Replica, Version},
    switch::{self, There},
};
use crate::{
    args::FollowSync, context::Context, failures, interrupt::Interrupts, meter::GetMeter, put, versions::Versions,
};

const AGAIN: &str = "run the same command again: what was fetched is kept";

pub(super) async fn run(context: &Context, args: &FollowSync) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut replica = Replica::open(&context.folder, &args.folder)?;
    let _lock = replica.lock()?;
    let mut versions = Versions::follow(context, &args.name, &args.every).await?;
    // Before anybody is asked: what was changed here needs no network to be found out.
    switch::look(&mut replica, versions.name, args.force).await?;
    let follow = Follow { context, force: args.force, once: args.once, is_first: true, said: String::new() };
    let done = if args.once {
        interrupts.or(follow.run(&mut versions, &mut replica), AGAIN).await
    } else {
        // Ctrl-C is how it ends: no failure.
        tokio::select! {
            biased;
            () = interrupts.wait() => Ok(()),
            done = follow.run(&mut versions, &mut replica) => done,
        }
    };
    versions.session.close(context).await;
    done
}

struct Follow<'a> {
    context: &'a Context,
    /// Until the first version is there: what is changed after that is another matter.
    force: bool,
    once: bool,
    /// Whether the folder has not been looked at yet since one version was found.
    is_first: bool,
    /// What was last said of why nothing is fetched.
    said: String,
}

/// What came of one version.
struct Synced {
    report: GetReport,
    entries: u64,
    seconds: f64,
}

impl Follow<'_> {
    async fn run(mut self, versions: &mut Versions, replica: &mut Replica) -> Result<(), Failure> {
        loop {
            let current = versions.current().await.map_err(|error| failures::name(&error));
            let done = match &current {
                Ok(body) => self.take(versions, replica, body).await,
                Err(failure) => Err(failure.clone()),
            };
            match done {
                Ok(()) => {
                    (self.is_first, self.force) = (false, false);
                    self.said.clear();
                }
                Err(failure) if self.once || !may_pass(&failure) => return Err(failure),
                Err(failure) => self.complain(failure.error),
            }
            if self.once {
                return Ok(());
            }
            versions.wait(current.map_or(0, |body| body.sequence)).await;
        }
    }

    /// Makes the folder what this version says.
    async fn take(&mut self, versions: &Versions, replica: &mut Replica, body: &NameBody) -> Result<(), Failure> {
        let newest = replica.newest(versions.name);
        if body.sequence < newest {
            let (shown, found) = (replica.path.display(), body.sequence);
            let error = format!("{shown} has number {newest} already, and the custodians know number {found} only");
            return Err(Failure::new(Exit::Integrity, error).hint("try again when more custodians answer"));
        }
        if !self.is_first && body.sequence == newest {
            return Ok(());
        }
        let there = switch::look(replica, versions.name, self.force).await?;
        let version = NameVersion { sequence: body.sequence, root: body.root };
        let is_there = |print: &String| replica.version(versions.name, print).filter(|at| at.root == body.root);
        if let There::Folder(print) = &there
            && let Some(at) = is_there(print)
        {
            if at.sequence != body.sequence || newest != body.sequence {
                replica.note_left(versions.name, Version { version, print: print.clone() })?;
            }
            if self.once {
                self.tell(versions.name, body, replica, None);
            }
            return Ok(());
        }
        let synced = self.fetch(versions, replica, body, &there).await?;
        let print = switch::print(&switch::fresh(replica)).await?;
        switch::switch(replica, versions.name, Version { version, print }, &there, self.force).await?;
        self.tell(versions.name, body, replica, Some(&synced));
        Ok(())
    }

    async fn fetch(
        &self,
        versions: &Versions,
        replica: &Replica,
        body: &NameBody,
        there: &There,
    ) -> Result<Synced, Failure> {
        let (client, started) = (&versions.session.client, Instant::now());
        let named = client.named(body.root, None, None).await.map_err(|error| failures::get(&error))?;
        let Named::Folder(folder) = named else {
            let error = format!("the name stands for {}, which is no folder", body.root);
            return Err(Failure::new(Exit::Usage, error).hint("bring it here with `dsn get NAME`"));
        };
        let fresh = switch::fresh(replica);
        let what = body.root.0.to_string();
        let output = DiskTreeOutput::new(&fresh, &what, Overwrite::Never).map_err(|error| failures::output(&error))?;
        let mut output = match there {
            There::Folder(_) => output.seeded(&replica.path),
            There::Nothing => output,
        };
        let meter = GetMeter::new(self.context.json);
        let got = client.get_folder(body.root, &folder, &mut output, &meter).await;
        meter.clear();
        let (report, entries) = got.map_err(|error| failures::get(&error))?;
        Ok(Synced { report, entries, seconds: started.elapsed().as_secs_f64() })
    }

    /// One line a version; of one that was there already, only when that is all that was asked.
    fn tell(&self, name: Name, body: &NameBody, replica: &Replica, synced: Option<&Synced>) {
        let (sequence, cid, path) = (body.sequence, body.root.to_string(), &replica.path);
        let Some(Synced { report, entries, seconds }) = synced else {
            if self.context.json {
                print_json(&json!({"name": name.to_string(), "sequence": sequence, "cid": cid, "path": path,
                    "changed": false}));
            } else {
                print_line(&format!("{sequence} {cid}"));
                note(&format!("{} is up to date", path.display()));
            }
            return;
        };
        if self.context.json {
            print_json(&json!({"name": name.to_string(), "sequence": sequence, "cid": cid, "path": path,
                "changed": true, "entries": entries, "bytes": report.bytes, "resumed_bytes": report.resumed_bytes,
                "wire_bytes": report.wire_bytes, "seconds": seconds}));
            return;
        }
        print_line(&format!("{sequence} {cid}"));
        let (bytes, there) = (human_bytes(report.bytes), human_bytes(report.resumed_bytes));
        let entries = put::entries_of(*entries);
        note(&format!("{entries}, {bytes} in {seconds:.1} s, {there} were there already: {}", path.display()));
    }

    /// Says once why nothing is fetched.
    fn complain(&mut self, error: String) {
        if self.said != error {
            note(&error);
            self.said = error;
        }
    }
}

/// Whether it may be otherwise the next time.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::NotFound | Exit::NotEnough | Exit::Integrity | Exit::Network)
}
