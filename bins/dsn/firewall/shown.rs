//! Rules and questions as people and scripts see them, and as they cross the farmer's socket.

use std::{net::IpAddr, time::Duration};

use dsn_cli::{Exit, Failure, note, print_json, print_line};
use dsn_core::firewall::{Action, Ask, Rule, Subject};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// All rules, in the order in which they decide.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListJson {
    pub(super) rules: Vec<RuleJson>,
    pub(super) ask_timeout_secs: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RuleJson {
    pub(super) name: String,
    pub(super) rule: String,
    pub(super) origin: String,
}

/// A question that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AskJson {
    number: u64,
    peer_id: String,
    /// For whom that node acts, in a closed network.
    #[serde(default)]
    member: Option<String>,
    address: Option<IpAddr>,
    direction: String,
    /// What was wanted first.
    wants: String,
    /// The rule that an answer for ever makes, without its action.
    about: String,
    waits_secs: u64,
    denied_in_secs: u64,
}

impl RuleJson {
    pub(super) fn new(name: String, rule: &Rule, origin: &str) -> Self {
        Self { name, rule: rule.to_string(), origin: origin.into() }
    }
}

impl ListJson {
    pub(super) fn print(&self, json: bool) {
        if json {
            return print_json(self);
        }
        print_line(&format!("{:>9}  {:<60}  {}", "N", "RULE", "SET BY"));
        for RuleJson { name, rule, origin } in &self.rules {
            print_line(&format!("{name:>9}  {rule:<60}  {origin}"));
        }
    }
}

impl AskJson {
    pub(crate) fn new(ask: &Ask, now: Duration) -> Self {
        let (scope, attempt) = (ask.scope, ask.attempt);
        let subject =
            Subject { direction: Some(scope.direction), kind: scope.kind, peer: Some(scope.peer), range: None };
        Self {
            number: ask.number,
            peer_id: attempt.peer.unwrap_or(scope.peer).to_string(),
            member: attempt.principal.member().map(|member| member.to_string()),
            address: attempt.ip,
            direction: scope.direction.to_string(),
            wants: attempt.kind.to_string(),
            about: subject.to_string(),
            waits_secs: now.saturating_sub(ask.since).as_secs(),
            denied_in_secs: ask.until.saturating_sub(now).as_secs(),
        }
    }

    /// What a rule in its place is about.
    pub(super) fn subject(&self) -> Result<Subject, Failure> {
        self.about.parse().map_err(|error| Failure::of(Exit::Internal, &error))
    }
}

pub(super) fn print_rule(json: bool, number: u32, rule: Rule) {
    if json {
        return print_json(&json!({"name": number.to_string(), "rule": rule.to_string()}));
    }
    print_line(&format!("{number} {rule}"));
}

pub(super) fn print_removed(json: bool, name: &str, rule: Rule) {
    if json {
        return print_json(&json!({"removed": name, "rule": rule.to_string()}));
    }
    note(&format!("removed: {rule}"));
}

pub(super) fn print_answered(json: bool, action: Action, ask: &AskJson) {
    if json {
        return print_json(&json!({"number": ask.number, "answer": action.name(), "about": ask.about}));
    }
    note(&format!("{action} {}: for ten minutes", ask.about));
}

pub(super) fn print_asks(json: bool, asks: &[AskJson]) {
    if json {
        return print_json(&json!({ "pending": asks }));
    }
    if asks.is_empty() {
        return note("nothing waits");
    }
    print_line(&format!(
        "{:>4}  {:<52}  {:<15}  {:<13}  {:>5}  {}",
        "N", "PEER OR MEMBER", "FROM", "WANTS", "WAITS", "DENIED IN"
    ));
    for ask in asks {
        // The member is known by it again, the node of a command is not.
        let who = ask.member.as_ref().unwrap_or(&ask.peer_id);
        let from = ask.address.map_or_else(|| "-".into(), |ip| ip.to_string());
        let wants = format!("{} {}", ask.direction, ask.wants);
        let (waits, left) = (format!("{} s", ask.waits_secs), format!("{} s", ask.denied_in_secs));
        print_line(&format!("{:>4}  {:<52}  {from:<15}  {wants:<13}  {waits:>5}  {left}", ask.number, who));
    }
}
