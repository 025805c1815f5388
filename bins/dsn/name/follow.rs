//! `dsn name follow`: prints what a name stands for, and each new version of it, until Ctrl-C. A version that is overtaken
//! before it was asked for is not seen.

use dsn_cli::{Failure, note, try_print_line};
use dsn_client::NameError;
use dsn_core::name::{Name, NameBody};
use serde_json::json;

use crate::{args::FollowName, context::Context, failures, interrupt::Interrupts, versions::Versions};

pub(super) async fn run(context: &Context, args: &FollowName) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut versions = Versions::follow(context, &args.name, &args.every).await?;
    let follow = Follow { name: versions.name, json: context.json, seen: 0, said: String::new() };
    // Ctrl-C is how it ends: no failure.
    let done = tokio::select! {
        biased;
        () = interrupts.wait() => Ok(()),
        done = follow.run(&mut versions) => done,
    };
    versions.session.close(context).await;
    done
}

struct Follow {
    name: Name,
    json: bool,
    /// The newest number printed.
    seen: u64,
    /// What was last said of why there is nothing to print.
    said: String,
}

impl Follow {
    /// Ends when nobody reads any more.
    async fn run(mut self, versions: &mut Versions) -> Result<(), Failure> {
        loop {
            match versions.current().await {
                Ok(body) if body.sequence > self.seen => {
                    self.seen = body.sequence;
                    self.said.clear();
                    if try_print_line(&self.line(&body)).is_err() {
                        return Ok(());
                    }
                }
                Ok(_) => self.said.clear(),
                Err(error) => self.complain(&error),
            }
            versions.wait(self.seen).await;
        }
    }
    fn line(&self, body: &NameBody) -> String {
        if !self.json {
            return format!("{} {}", body.sequence, body.root);
        }
        let (name, cid) = (self.name.to_string(), body.root.to_string());
        json!({"name": name, "sequence": body.sequence, "cid": cid, "issued": body.issued, "until": body.until})
            .to_string()
    }

    /// Says once why there is nothing to print.
    fn complain(&mut self, error: &NameError) {
        let kind = match error {
            NameError::Ended { sequence, .. } => format!("ended {sequence}"),
            other => other.to_string(),
        };
        if self.said != kind {
            note(&failures::name(error).error);
            self.said = kind;
        }
    }
}
