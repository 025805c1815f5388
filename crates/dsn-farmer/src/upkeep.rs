//! How a farmer looks after what it keeps and what others keep, once it is on the network: one future that its owner
//! drives beside everything else and drops to end it.

use std::{collections::BTreeMap, sync::Arc};

use dsn_client::{Client, ClientOptions, ClientParts};
use dsn_core::{ports::Network, repair::Budget};

use crate::{
    collector::Collector,
    drainer::Drainer,
    farmer::Farmer,
    herald::Herald,
    patrol::Patrol,
    registrar::Registrar,
    repairer::{BURST_BYTES, Repairer},
    scrubber::Scrubber,
};

impl Farmer {
    /// Goes the rounds, repairs, scrubs, drains, collects, registers and announces, on behalf of a farmer that others reach by
    /// `network`. Never ends. Dropping the future gives up what is going on; all of it is taken up again by the next one.
    pub async fn look_after(self: Arc<Self>, network: Arc<dyn Network>) {
        let parts = &self.parts;
        let client = Arc::new(Client::new(
            ClientParts {
                network: Arc::clone(&network),
                compute: Arc::clone(&parts.compute),
                environment: Arc::clone(&parts.environment),
                owner: parts.identity.clone(),
                network_name: parts.network_name.clone(),
            },
            ClientOptions::default(),
        ));
        let now = parts.environment.unix_secs();
        let repairer = Repairer {
            farmer: Arc::clone(&self),
            network: Arc::clone(&network),
            client: Arc::clone(&client),
            budget: Budget::new(self.options.upkeep.repair_bytes_per_sec, BURST_BYTES, now),
            survey: None,
        };
        self.recall().await;
        let hidden = self.hidden.subscribe();
        let registrar = Registrar { farmer: Arc::clone(&self), network: Arc::clone(&network), hidden };
        let (drain, names) = (self.drain.subscribe(), self.name_keeper.fresh());
        let herald = Herald { farmer: Arc::clone(&self), network: Arc::clone(&network), drain, names };
        let patrol = Patrol::new(Arc::clone(&self), network);
        let drainer = Drainer { farmer: Arc::clone(&self), client: Arc::clone(&client), state: self.drain.subscribe() };
        let scrubber = Scrubber { farmer: Arc::clone(&self), client: Arc::clone(&client) };
        let collector = Collector { farmer: Arc::clone(&self), client, asked: BTreeMap::new() };
        tokio::join!(biased;
            patrol.run(), repairer.run(), scrubber.run(), drainer.run(), collector.run(), registrar.run(), herald.run()
        );
    }

    /// Takes over what it had seen when it was last stopped.
    async fn recall(&self) {
        match self.parts.store.notes().await {
            Ok(notes) => self.liveness.with(|seen| seen.recall(&notes)),
            Err(error) => tracing::warn!(%error, "what was seen of other farmers is lost"),
        }
    }
}
