//! What a farmer has to do with members of a closed network: it says when there are none, keeps the list of revocations,
//! and where there is a pre-shared key it listens on nothing that the key does not cover.

use dsn_cli::{Exit, Failure, Key, Origin, note};
use dsn_core::ports::Network;
use dsn_net::{Node, is_plain_tcp};

use crate::{
    context::Context,
    membership::{FOUNDER_KEY, load_revocations, save_revocations},
    network::Invited,
    psk,
    runtime::unix_secs,
};

/// Says what is odd about a closed network, before it is served.
pub(super) fn check(context: &Context) -> Result<(), Failure> {
    let closed = context.yes_or_no(Key::NetworkClosed)?;
    if closed && context.joined.is_none() && context.settings.get(Key::NetworkPskFile).is_none() {
        let error = format!("{} is true, but anybody could take part", Key::NetworkClosed.name());
        return Err(Failure::new(Exit::Configuration, error)
            .hint("`dsn network new NAME` makes a closed network, `dsn join INVITATION` joins one"));
    }
    let has_psk = psk::load(context)?.is_some();
    if listen(context, has_psk)? != context.settings.list(Key::FarmListen) {
        note("a pre-shared key covers TCP only: this farmer does not listen on QUIC");
    }
    if context.folder.path(FOUNDER_KEY).exists()
        && context.joined.is_some()
        && Invited::load(&context.folder)?.is_empty()
    {
        note("warning: nobody has been invited yet, so this farmer serves this folder alone: `dsn network invite`");
    }
    Ok(())
}

/// Where to listen. A pre-shared key covers TCP only, so what is usual otherwise is left out, and what was asked for is an
/// error.
pub(super) fn listen(context: &Context, has_psk: bool) -> Result<Vec<String>, Failure> {
    let listen = context.settings.list(Key::FarmListen);
    let Some(bare) = listen.iter().find(|address| !is_plain_tcp(address)).filter(|_| has_psk) else {
        return Ok(listen);
    };
    if matches!(context.settings.get(Key::FarmListen), Some((_, Origin::BuiltIn)) | None) {
        return Ok(listen.into_iter().filter(|address| is_plain_tcp(address)).collect());
    }
    let (key, value) = (Key::FarmListen.name(), Key::NetworkPskFile.name());
    Err(Failure::new(Exit::Configuration, format!("{key}: {bare} is not TCP, and {value} covers TCP only"))
        .hint("listen on /ip4/0.0.0.0/tcp/4100 or the like; a network with members (`dsn network new`) covers all"))
}

/// Writes every new list of revocations into the folder. Never ends.
pub(super) async fn remember_revocations(context: &Context, node: &Node) {
    let mut seq = context.joined.as_ref().map_or(0, |joined| joined.membership.seq());
    loop {
        let list = node.revocations_after(seq).await;
        seq = list.body().seq;
        if let Err(failure) = save_revocations(&context.folder, &list) {
            tracing::warn!(error = failure.error, "revocations were not written down");
        }
        if let Some(Err(why)) = context.joined.as_ref().map(|joined| {
            let mut membership = joined.membership.clone();
            let _same_network = membership.learn(list.into_signed());
            membership.standing(unix_secs())
        }) {
            note(&format!("warning: this farmer is alone now: {why}"));
        }
    }
}

/// Acts by the list that a command has written; tells how many nodes are connected and hear of it.
pub(super) async fn apply_revocations(context: &Context, node: &Node) -> usize {
    let applied =
        load_revocations(&context.folder).ok().flatten().is_some_and(|list| node.learn_revocations(list).is_ok());
    let known = node.known_nodes().await.unwrap_or_default();
    if applied { known.iter().filter(|known| known.connected && known.node != node.local_id()).count() } else { 0 }
}
