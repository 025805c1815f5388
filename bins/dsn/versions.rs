//! What a name comes to stand for, version after version: its custodians are asked now and then, and at once when a new
//! version is announced. Nothing depends on announcements: without them a version is only seen later.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dsn_cli::{Exit, Failure, parse_span};
use dsn_client::NameError;
use dsn_core::{
    announcement::News,
    name::{Name, NameBody},
    node_id::NodeId,
    ports::{Handler, NoService},
    rpc::{Refusal, Request, Response, StoreHeader},
};
use tokio::sync::watch;

use crate::{context::Context, own_names::OwnNames, session::Session};

/// Serves nobody, and listens to what is announced of one name.
struct Ear {
    name: Name,
    /// The newest number announced.
    newest: watch::Sender<u64>,
}

/// A name that is followed.
pub(crate) struct Versions {
    pub(crate) name: Name,
    pub(crate) session: Session,
    every: Duration,
    announced: watch::Receiver<u64>,
}

#[async_trait]
impl Handler for Ear {
    fn admit(&self, parts: &[StoreHeader]) -> Result<(), Refusal> {
        NoService.admit(parts)
    }

    async fn handle(&self, from: NodeId, request: Request) -> Response {
        NoService.handle(from, request).await
    }

    fn hear(&self, news: &News) -> bool {
        if let News::Name(record) = news
            && record.body().name == self.name
        {
            self.newest.send_if_modified(|newest| {
                let is_newer = record.body().sequence > *newest;
                *newest = record.body().sequence.max(*newest);
                is_newer
            });
        }
        true
    }
}

impl Versions {
    /// Begins to follow a name, or what is called so here; it is asked for so often.
    pub(crate) async fn follow(context: &Context, name: &str, every: &str) -> Result<Self, Failure> {
        let name = OwnNames::named(&context.folder, name)?;
        let every = parse_span(every).map_err(|error| Failure::of(Exit::Usage, &error))?;
        let (newest, announced) = watch::channel(0);
        let session = Session::listening(context, Arc::new(Ear { name, newest })).await?;
        Ok(Self { name, session, every, announced })
    }

    /// What it stands for now.
    pub(crate) async fn current(&self) -> Result<NameBody, NameError> {
        self.session.client.resolve_name(self.name).await?.current(self.name).cloned()
    }

    /// Waits until it is time to ask again: sooner when a version after number `seen` is announced, once for each.
    pub(crate) async fn wait(&mut self, seen: u64) {
        let announced = async {
            while self.announced.changed().await.is_ok() {
                if *self.announced.borrow_and_update() > seen {
                    return;
                }
            }
            std::future::pending::<()>().await; // the node has stopped, and tells nothing any more
        };
        let _announced_or_time = tokio::time::timeout(self.every, announced).await;
    }
}
