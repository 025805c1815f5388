//! `dsn network revoke`: takes a membership back. The new list goes out through the farmer of this folder, or else by a
//! node of this command; whoever has it hands it on.

use std::collections::BTreeSet;

use dsn_cli::{Exit, Failure, note, print_json, print_line};
use dsn_core::{
    identity::Identity,
    limits::{MEMBER_SKEW_SECS, REVOCATIONS_MAX},
    membership::revocations::{RevocationsBody, VerifiedRevocations},
    node_id::NodeId,
    ports::Network,
};
use serde_json::json;

use super::{Invited, founded};
use crate::{
    args::Revoke,
    context::Context,
    control,
    membership::{Joined, REVOKED_QUESTION, save_revocations},
    runtime::unix_secs,
    session::Session,
};

pub(super) async fn run(context: &Context, args: &Revoke) -> Result<(), Failure> {
    let (joined, founder) = founded(context)?;
    let invited = Invited::load(&context.folder)?;
    let guest = invited.find(&args.member)?;
    let member = guest.node_id().expect("it was made of one");
    let list = list_with(joined, &founder, &invited, member)?;
    save_revocations(&context.folder, &list)?;
    let told = tell(context).await;
    if context.json {
        print_json(&json!({"member": guest.member, "label": guest.label, "told": told}));
        return Ok(());
    }
    print_line(&format!("revoked {}", guest.member));
    match told {
        0 => note("nobody of the network could be told now; they learn of it when this folder meets them next"),
        _ => note(&format!(
            "{:?} is no member any more; nodes that were told: {told}, and they tell others",
            guest.label
        )),
    }
    Ok(())
}

/// The next list: the last one with this member. Who has ended by the calendar needs no place in it.
fn list_with(
    joined: &Joined,
    founder: &Identity,
    invited: &Invited,
    member: NodeId,
) -> Result<VerifiedRevocations, Failure> {
    let last = joined.membership.revocations().map(|list| list.body().members.clone()).unwrap_or_default();
    let over = |until: u64| until.saturating_add(MEMBER_SKEW_SECS) < unix_secs();
    let ended: BTreeSet<NodeId> =
        invited.iter().filter(|guest| guest.until.is_some_and(over)).filter_map(|guest| guest.node_id()).collect();
    let mut members: BTreeSet<NodeId> = last.difference(&ended).copied().collect();
    members.insert(member);
    if members.len() > REVOCATIONS_MAX {
        let error = format!("{REVOCATIONS_MAX} members are revoked already, and no list is longer");
        return Err(Failure::new(Exit::Usage, error)
            .hint("make a new network and invite those who stay; memberships that end (--expires) take no room"));
    }
    // Never lower than before, even if this folder is an old copy.
    let seq = unix_secs().max(joined.membership.seq() + 1);
    let network = joined.network().clone();
    Ok(RevocationsBody { network, founder: founder.node_id(), seq, members }.sign(founder))
}

/// How many nodes know of it now, as far as this node can tell.
async fn tell(context: &Context) -> usize {
    let others = |known: &[dsn_core::ports::KnownNode], local| {
        known.iter().filter(|node| node.connected && node.node != local).count()
    };
    if let Some(answer) = control::ask(&context.folder, REVOKED_QUESTION).await {
        return answer.trim().parse().unwrap_or_default();
    }
    // Read anew: with the new list.
    let Ok(Some(joined)) = Joined::load(&context.folder) else { return 0 };
    let fresh = Context { joined: Some(joined), ..context.clone() };
    let Ok(session) = Session::open(&fresh).await else { return 0 };
    let met = session.node.snapshot(true).await;
    let known = session.node.known_nodes().await.unwrap_or_default();
    let told = if met.is_ok() { others(&known, session.node.local_id()) } else { 0 };
    session.close(&fresh).await;
    told
}
