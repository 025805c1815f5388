//! `dsn doctor`: looks at what usually goes wrong, says what it sees in words and what to do about it. Not here: repairs.

use dsn_cli::{Exit, Failure, Key, print_json, print_line};
use dsn_core::ports::Network;
use serde::Serialize;

use crate::{
    context::Context,
    control, failures,
    session::{self, Session},
    status::{self, StatusAnswer, StatusJson},
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    is_well: bool,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn well(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, is_well: true, says: says.into(), advice: None }
    }

    fn ill(what: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, is_well: false, says: says.into(), advice: Some(advice.into()) }
    }
}

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let mut findings = vec![whereabouts(context)?];
    match control::ask(&context.folder, status::QUESTION).await {
        Some(answer) => match serde_json::from_str(&answer).map_err(|error| Failure::of(Exit::Internal, &error))? {
            StatusAnswer::Status(status) => findings.extend(of_farmer(&status)),
            StatusAnswer::Uncounted { uncounted } => findings.push(Finding::ill("farmer", uncounted, "see its log")),
        },
        None => findings.push(of_network(context).await?),
    }
    if context.json {
        findings.iter().for_each(print_json);
    } else {
        findings.iter().for_each(print);
    }
    match findings.iter().filter(|finding| !finding.is_well).count() {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Network, format!("{count} of {} things are not well", findings.len()))),
    }
}

fn print(Finding { what, is_well, says, advice }: &Finding) {
    print_line(&format!("{} {what:<10} {says}", if *is_well { "ok " } else { "BAD" }));
    if let Some(advice) = advice {
        print_line(&format!("{:<14} {advice}", ""));
    }
}

/// Where the network is looked for.
fn whereabouts(context: &Context) -> Result<Finding, Failure> {
    let name = context.settings.text(Key::NetworkName);
    let bootstrap = session::bootstrap(context);
    let remembered = session::remembered(context)?.len();
    let lan = session::mdns(context, &bootstrap)?;
    if bootstrap.is_empty() && remembered == 0 && !lan {
        let says = format!("network {name}: nothing says where it is");
        let advice = "name one of its nodes with --bootstrap ADDR, or allow mDNS on the LAN";
        return Ok(Finding::ill("network", says, advice));
    }
    let at = if bootstrap.is_empty() { "the LAN (mDNS)".to_owned() } else { bootstrap.join(" ") };
    Ok(Finding::well("network", format!("network {name}, looked for at {at}; {remembered} nodes remembered")))
}

/// What the farmer in this folder says of itself.
fn of_farmer(status: &StatusJson) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match status.peers() {
        0 => Finding::ill("peers", "the farmer knows nobody", "check the bootstrap addresses and the firewall"),
        peers => Finding::well("peers", format!("the farmer is connected to {peers} nodes")),
    });
    let reach = status.reach();
    findings.push(match reach.advice() {
        None => Finding::well("reachable", reach.shown()),
        Some(advice) => {
            Finding { is_well: reach.kind == "relayed", ..Finding::ill("reachable", reach.shown(), advice) }
        }
    });
    let problems = status.problems().iter();
    findings.extend(problems.map(|problem| Finding::ill("farmer", problem.clone(), "dsn status shows more")));
    findings
}

/// Whether a new node finds anybody.
async fn of_network(context: &Context) -> Result<Finding, Failure> {
    let session = match Session::open(context).await {
        Ok(session) => session,
        Err(failure) => return Ok(Finding::ill("start", failure.error, "no node can be started on this machine")),
    };
    let found = session.node.snapshot(true).await;
    session.close(context).await;
    Ok(match found {
        Ok(snapshot) => {
            Finding::well("farmers", format!("{} answer; no farmer runs in this folder", snapshot.nodes.len()))
        }
        Err(error) => {
            let failure = failures::network(&error);
            Finding::ill("farmers", failure.error, "start the network's farmers, or check the address and the firewall")
        }
    })
}
