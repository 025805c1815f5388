//! Announces that this farmer leaves, and that it stays after all. What others announce of themselves is noted with what was
//! seen of them.

use std::{sync::Arc, time::Duration};

use dsn_core::{
    announcement::{Announcement, News},
    departure::DepartureBody,
    limits::DEPARTURE_NEWS_SECS,
    ports::Network,
};
use tokio::sync::watch;

use crate::{farmer::Farmer, state::Drain};

/// Said anew while it is going on, for those who have come since.
const AGAIN: Duration = Duration::from_secs(DEPARTURE_NEWS_SECS / 2);

/// Announces whenever there is need.
pub(crate) struct Herald {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) drain: watch::Receiver<Drain>,
}

impl Farmer {
    /// Notes what another farmer has announced; says whether that was news.
    pub(crate) fn note(&self, news: &News) -> bool {
        let News::Departure(departure) = news;
        let body = departure.body();
        tracing::debug!(farmer = %body.node, leaving = body.leaving, "a farmer announced whether it leaves");
        self.liveness.with(|seen| seen.departs(body.node, body.leaving, body.said))
    }
}

impl Herald {
    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut said = 0;
        loop {
            let leaving = *self.drain.borrow_and_update() != Drain::Off;
            if leaving || said > 0 {
                said = self.farmer.parts.environment.unix_secs().max(said + 1);
                self.announce(leaving, said).await;
            }
            let changed = self.drain.wait_for(|drain| (*drain != Drain::Off) != leaving);
            if leaving {
                let _changed_or_time = tokio::time::timeout(AGAIN, changed).await;
            } else if changed.await.is_err() {
                return;
            }
        }
    }

    async fn announce(&self, leaving: bool, said: u64) {
        let parts = &self.farmer.parts;
        let body = DepartureBody { network: parts.network_name.clone(), node: parts.identity.node_id(), leaving, said };
        let departure = body.sign(&parts.identity).into_signed();
        self.network.announce(Announcement::Departure(departure)).await;
    }
}
