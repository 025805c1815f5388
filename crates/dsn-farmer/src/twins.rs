//! Looks out for another process with this farmer's key, as a copied folder makes one. Both would be reached by chance and
//! each would sign for what only the other has. Two nodes of one id cannot connect, so each greets the same few servers,
//! the ones nearest to its id, and is shown there what was said in its name. The older one warns, the younger one stops.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dsn_core::{
    greeting::{GreetingBody, RunId},
    node_id::NodeId,
    ports::Network,
    rpc::{Request, Response},
    twins::{Twin, Twins, Verdict},
};

use crate::farmer::Farmer;

/// Servers greeted. Two of them may be down, or silent about what they know.
const GREETED: usize = 3;

/// Rest between two rounds: two farmers with one key may harm for so long at most.
const REST: Duration = Duration::from_secs(15);

/// Rest while it is to be seen whether another run is alive: at the start, and when one was shown for the first time.
const SHORT_REST: Duration = Duration::from_secs(1);

/// Rounds with a short rest. Longer than the long rest of the other side.
const SHORT_RESTS: u32 = 20;
const _: () = assert!(SHORT_REST.as_secs() * SHORT_RESTS as u64 > REST.as_secs());

/// Rounds after which the nearest servers are looked up again: a quarter of an hour. One that is gone is replaced at once.
const LOOK_UP_EVERY: u32 = 60;

/// Seconds for which a twin that was seen is a problem worth telling.
const TOLD_SECS: u64 = 24 * 3600;

impl Farmer {
    /// Runs until an older process with the same key is seen, and tells which. A younger one is warned of.
    pub async fn watch_for_twins(self: Arc<Self>, network: Arc<dyn Network>) -> Twin {
        let environment = &self.parts.environment;
        let mut run = RunId([0; 16]);
        environment.fill_random(&mut run.0);
        let mut twins = Twins::new(run, environment.unix_secs());
        let (mut nearest, mut round, mut short) = (BTreeSet::new(), 0_u32, SHORT_RESTS);
        loop {
            if nearest.len() < GREETED || round.is_multiple_of(LOOK_UP_EVERY) {
                nearest = self.nearest(&*network).await;
            }
            for node in nearest.clone() {
                let request = Request::Greet(self.greeting(&twins).sign(&self.parts.identity).as_signed().clone());
                let Ok(Response::Greeted(shown)) = network.request(node, request).await else {
                    nearest.remove(&node);
                    continue;
                };
                tracing::debug!(%node, runs = shown.len(), "greeted");
                for greeting in shown {
                    let mine = greeting.verify(&self.parts.network_name, self.parts.identity.node_id());
                    match mine.map_or(Verdict::Nothing, |greeting| twins.hear(&greeting)) {
                        Verdict::Nothing => {}
                        Verdict::Unknown => {
                            tracing::debug!(%node, "another run of this farmer was there, and may still be");
                            short = SHORT_RESTS;
                        }
                        Verdict::Younger(twin) => self.note_twin(twin),
                        Verdict::Older(twin) => return twin,
                    }
                }
            }
            round = round.wrapping_add(1);
            short = short.saturating_sub(1);
            tokio::time::sleep(if short > 0 { SHORT_REST } else { REST }).await;
        }
    }

    /// A younger process with the same key that was seen within the last day.
    pub fn twin(&self) -> Option<Twin> {
        let now = self.parts.environment.unix_secs();
        let seen = self.twin.lock().expect("no panic while locked").clone();
        seen.filter(|(at, _)| at.saturating_add(TOLD_SECS) > now).map(|(_, twin)| twin)
    }

    fn note_twin(&self, twin: Twin) {
        let now = self.parts.environment.unix_secs();
        let before = self.twin.lock().expect("no panic while locked").replace((now, twin.clone()));
        if before.is_none_or(|(_, before)| before != twin) {
            let started = twin.started;
            tracing::warn!(started, "another farmer was started with this one's key; each needs a folder of its own");
        }
    }

    fn greeting(&self, twins: &Twins) -> GreetingBody {
        GreetingBody {
            network: self.parts.network_name.clone(),
            node: self.parts.identity.node_id(),
            run: twins.run(),
            started: twins.started(),
            addresses: self.addresses(),
            heard: twins.heard().to_vec(),
        }
    }

    /// The same servers for all that have this node's key.
    async fn nearest(&self, network: &dyn Network) -> BTreeSet<NodeId> {
        let me = self.parts.identity.node_id();
        let found = network.look_up(me.0).await.unwrap_or_default();
        found.into_iter().filter(|node| *node != me).take(GREETED).collect()
    }
}
