//! The firewall of a running farmer: what commands ask of it, and other rules put into effect.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use dsn_cli::Failure;
use dsn_core::{
    firewall::{Attempt, Direction, Kind, Principal, Word},
    node_id::NodeId,
    ports::Guard,
};
use serde::Serialize;

use super::Running;
use crate::{
    firewall::{APPROVE, AskJson, Fence, LIST, PENDING, REJECT, RELOAD, Reply, RuleSet},
    folder::Folder,
};

/// The rules in effect and where they come from.
pub(super) struct Gatekeeper {
    folder: Folder,
    rules: Mutex<RuleSet>,
    fence: Arc<Fence>,
}

impl Gatekeeper {
    pub(super) fn new(folder: Folder, rules: RuleSet, fence: Arc<Fence>) -> Self {
        Self { folder, rules: Mutex::new(rules), fence }
    }

    fn rules(&self) -> RuleSet {
        self.rules.lock().expect("no panic while locked").clone()
    }

    /// Takes the rules from the file; those of the configuration stay as they were at the start.
    fn reload(&self) -> Result<(), Failure> {
        let mut rules = self.rules.lock().expect("no panic while locked");
        let fresh = rules.reloaded(&self.folder)?;
        self.fence.replace(fresh.rules()?);
        *rules = fresh;
        Ok(())
    }

    /// That somebody waits for a word.
    pub(super) fn problem(&self) -> Option<String> {
        match self.fence.pending().len() {
            0 => None,
            waiting => Some(format!("{waiting} wait for your word: `dsn firewall pending`")),
        }
    }

    fn pending(&self) -> Vec<AskJson> {
        let asks = self.fence.pending();
        asks.iter().map(|ask| AskJson::new(ask, self.fence.now())).collect()
    }

    fn answer(&self, number: &str, word: Word) -> Reply<AskJson> {
        let Ok(number) = number.trim().parse() else { return Reply::Failed(format!("{number:?} is no number")) };
        match self.fence.answer(number, word) {
            Ok(ask) => Reply::Done(AskJson::new(&ask, self.fence.now())),
            Err(error) => Reply::Failed(error.to_string()),
        }
    }
}

/// The answer to a question about the firewall; none when it is about something else.
pub(super) async fn answer(running: &Running, question: &str) -> Option<String> {
    let gatekeeper = &running.gatekeeper;
    match question {
        RELOAD => Some(text(&reload(running).await)),
        LIST => Some(text(&Reply::Done(gatekeeper.rules().shown()))),
        PENDING => Some(text(&Reply::Done(gatekeeper.pending()))),
        _ => {
            let approved = question.strip_prefix(APPROVE).map(|number| gatekeeper.answer(number, Word::Allow));
            let answered =
                approved.or_else(|| question.strip_prefix(REJECT).map(|number| gatekeeper.answer(number, Word::Deny)));
            answered.map(|answered| text(&answered))
        }
    }
}

fn text(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).expect("numbers and texts are JSON")
}

/// Whether a node is denied to put pieces here: as who it is, for whom it acts, or by an address at which it is connected.
fn may_not_put(guard: &dyn Guard, node: NodeId, principal: Principal, origins: &[(NodeId, IpAddr)]) -> bool {
    let put = |ip| Attempt { peer: Some(node), principal, ip, direction: Direction::In, kind: Kind::PiecePut };
    let mut ips = origins.iter().filter(|(of, _)| *of == node).map(|(_, ip)| Some(*ip)).peekable();
    if ips.peek().is_none() {
        return guard.denies(&put(None));
    }
    ips.any(|ip| guard.denies(&put(ip)))
}

/// Puts other rules into effect: also on leaves that were given and on connections that stand.
async fn reload(running: &Running) -> Reply<()> {
    if let Err(failure) = running.gatekeeper.reload() {
        let causes = failure.caused_by.iter().map(|cause| format!(": {cause}")).collect::<String>();
        return Reply::Failed(format!("{}{causes}", failure.error));
    }
    // Who is not connected is asked again, by its address, before anything of it is taken.
    let origins = running.node.origins().await.unwrap_or_default();
    let (fence, net) = (&*running.gatekeeper.fence, &running.node);
    running.farmer.revoke(|node| may_not_put(fence, node, net.principal(&node), &origins));
    match running.node.enforce().await {
        Ok(()) => Reply::Done(()),
        Err(error) => Reply::Failed(error.to_string()),
    }
}
