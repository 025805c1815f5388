//! Announces that this farmer leaves, and that it stays after all; and the new versions of names that were published here, as
//! many as others listen to. What others announce of themselves is noted with what was seen of them.

use std::{sync::Arc, time::Duration};

use dsn_core::{
    announcement::{Announcement, News},
    departure::DepartureBody,
    limits::DEPARTURE_NEWS_SECS,
    name::NameRecord,
    ports::Network,
};
use tokio::sync::{broadcast, watch};

use crate::{farmer::Farmer, state::Drain};

/// Said anew while it is going on, for those who have come since.
const AGAIN: Duration = Duration::from_secs(DEPARTURE_NEWS_SECS / 2);

/// New versions of names announced within [`NAMES_WINDOW_SECS`]: a node that announces more than this beside all that it
/// hands on for others would not be listened to.
const NAMES_AT_MOST: u32 = 20;
const NAMES_WINDOW_SECS: u64 = 10;

/// Announces whenever there is need.
pub(crate) struct Herald {
    pub(crate) farmer: Arc<Farmer>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) drain: watch::Receiver<Drain>,
    pub(crate) names: broadcast::Receiver<NameRecord>,
}

impl Farmer {
    /// Notes what somebody has announced; says whether that was news.
    pub(crate) fn note(&self, news: &News) -> bool {
        match news {
            News::Departure(departure) => {
                let body = departure.body();
                tracing::debug!(farmer = %body.node, leaving = body.leaving, "a farmer announced whether it leaves");
                self.liveness.with(|seen| seen.departs(body.node, body.leaving, body.said))
            }
            News::Name(record) => {
                self.name_keeper.hear(record.clone());
                true
            }
        }
    }
}

impl Herald {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let Self { farmer, network, drain, names } = self;
        let names = announce_names(&farmer, &*network, names);
        let departures = Departures { farmer: &farmer, network: &*network, drain };
        tokio::join!(biased; departures.run(), names);
    }
}

/// Tells of new versions until the farmer has stopped.
async fn announce_names(farmer: &Farmer, network: &dyn Network, mut names: broadcast::Receiver<NameRecord>) {
    let (mut since, mut told) = (0, 0);
    loop {
        let record = match names.recv().await {
            Ok(record) => record,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let now = farmer.parts.environment.unix_secs();
        if now >= since + NAMES_WINDOW_SECS {
            (since, told) = (now, 0);
        }
        told += 1;
        if told <= NAMES_AT_MOST {
            network.announce(Announcement::Name(record)).await;
        }
    }
}

/// Whether this farmer leaves.
struct Departures<'a> {
    farmer: &'a Farmer,
    network: &'a dyn Network,
    drain: watch::Receiver<Drain>,
}

impl Departures<'_> {
    async fn run(mut self) {
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
