//! A client on the network: finds the network, starts a node of its own for this one command, and remembers whom it met.

use std::{sync::Arc, time::Duration};

use dsn_cli::{Failure, Key};
use dsn_client::{Client, ClientOptions, ClientParts};
use dsn_core::{
    identity::Identity,
    node_id::NodeId,
    ports::{Handler, Network, NoService},
};
use dsn_net::{NetOptions, Node, is_plain_tcp, is_public_address};
use serde::{Deserialize, Serialize};

use crate::{
    authorities,
    context::Context,
    control::RunningFarmer,
    failures,
    firewall::{Fence, Operator, RuleSet},
    membership::save_revocations,
    psk,
    runtime::{SystemEnvironment, ThreadCompute, fill_random},
};

/// Peers of earlier runs, in the folder.
const PEERS_FILE: &str = "peers.json";

/// Peers kept for the next run.
const PEERS_KEPT: usize = 64;

/// Where a command listens when it does.
const LISTEN: [&str; 4] =
    ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"];

/// Ending the network takes no longer than this.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// A client and its node.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) node: Node,
    network: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    network: String,
    peers: Vec<(String, Vec<String>)>,
}

/// Where the network is, by the first of: flag, environment, file, the farmer on this machine, the invitation. Nothing:
/// the LAN. Without a DHT nobody tells of the others, so all that are known are named.
pub(crate) fn bootstrap(context: &Context) -> Vec<String> {
    let set = context.settings.list(Key::NetworkBootstrap);
    let farmer = || RunningFarmer::find(&context.folder).map(|farmer| farmer.listen);
    if !context.yes_or_no(Key::NetworkDht).unwrap_or(true) {
        return [farmer().unwrap_or_default(), bootstrap_without_farmer(context)].concat();
    }
    if set.is_empty() { farmer().unwrap_or_else(|| bootstrap_without_farmer(context)) } else { set }
}

/// The same for the farmer itself.
pub(crate) fn bootstrap_without_farmer(context: &Context) -> Vec<String> {
    let set = context.settings.list(Key::NetworkBootstrap);
    let invited = || context.joined.as_ref().map_or_else(Vec::new, |joined| joined.bootstrap.clone());
    if set.is_empty() { invited() } else { set }
}

/// What a node of this folder starts with on its network.
pub(crate) fn net_options(
    context: &Context,
    identity: Identity,
    bootstrap: Vec<String>,
) -> Result<NetOptions, Failure> {
    let membership = context.joined.as_ref().map(|joined| joined.check().map(|()| joined.membership.clone()));
    Ok(NetOptions {
        dht: context.yes_or_no(Key::NetworkDht)?,
        mdns: mdns(context, &bootstrap)?,
        bootstrap,
        remembered: remembered(context)?,
        rendezvous: context.yes_or_no(Key::NetworkRendezvous)?,
        membership: membership.transpose()?,
        psk: psk::load(context)?,
        authorities: authorities::load(context)?,
        ..NetOptions::new(identity, context.network_name()?)
    })
}

/// Whether nodes are looked for on the LAN: only when nothing else says where the network is.
pub(crate) fn mdns(context: &Context, bootstrap: &[String]) -> Result<bool, Failure> {
    Ok(context.yes_or_no(Key::NetworkMdns)? && bootstrap.is_empty())
}

/// Where a command listens: where its network is not on this LAN, a farmer that nobody can dial may have to come towards it.
fn listen(options: &NetOptions) -> Vec<String> {
    let remembered = options.remembered.iter().flat_map(|(_, addresses)| addresses);
    if !options.bootstrap.iter().chain(remembered).any(|address| is_public_address(address)) {
        return Vec::new();
    }
    let covered = |address: &&str| options.psk.is_none() || is_plain_tcp(address);
    LISTEN.into_iter().filter(covered).map(str::to_owned).collect()
}

/// Nodes of the same network that an earlier run met.
pub(crate) fn remembered(context: &Context) -> Result<Vec<(NodeId, Vec<String>)>, Failure> {
    if !context.yes_or_no(Key::NetworkRemember)? {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(context.folder.path(PEERS_FILE)).unwrap_or_default();
    let known: Remembered = serde_json::from_str(&text).unwrap_or_default();
    if known.network != context.settings.text(Key::NetworkName) {
        return Ok(Vec::new());
    }
    Ok(known.peers.into_iter().filter_map(|(node, addresses)| Some((node.parse().ok()?, addresses))).collect())
}

/// Writes down whom this run met, where that is wanted. A folder that cannot be written only costs the next run some time.
pub(crate) async fn remember(context: &Context, network: &str, node: &Node) {
    if !context.yes_or_no(Key::NetworkRemember).unwrap_or(false) {
        return;
    }
    let Ok(peers) = node.good_peers().await else { return };
    if peers.is_empty() {
        return;
    }
    let peers = peers.into_iter().take(PEERS_KEPT).map(|(node, addresses)| (node.to_string(), addresses)).collect();
    let known = Remembered { network: network.into(), peers };
    let text = serde_json::to_string(&known).expect("strings are JSON");
    let folder = context.folder.clone();
    // Not here: a busy disk takes its time.
    let written = tokio::task::spawn_blocking(move || folder.replace(PEERS_FILE, text.as_bytes())).await;
    if let Ok(Err(error)) = written {
        tracing::debug!(%error, "peers were not remembered");
    }
}

/// A client of this owner on a network.
pub(crate) fn client(network: Arc<dyn Network>, owner: Identity, context: &Context) -> Result<Client, Failure> {
    let parts = ClientParts {
        network,
        compute: Arc::new(ThreadCompute::new()),
        environment: Arc::new(SystemEnvironment),
        owner,
        network_name: context.network_name()?,
    };
    Ok(Client::new(parts, ClientOptions::default()))
}

impl Session {
    /// Starts a node and a client on it.
    pub(crate) async fn open(context: &Context) -> Result<Self, Failure> {
        Self::start(context, false, Arc::new(NoService)).await
    }

    /// The same, and lets `ear` hear what is announced, where the configuration says that announcements are listened to.
    pub(crate) async fn listening(context: &Context, ear: Arc<dyn Handler>) -> Result<Self, Failure> {
        Self::start(context, context.yes_or_no(Key::NetworkAnnouncements)?, ear).await
    }

    async fn start(context: &Context, announcements: bool, handler: Arc<dyn Handler>) -> Result<Self, Failure> {
        let owner = context.owner()?;
        // A node of its own for every command, so that two commands at once are two nodes.
        let mut seed = [0; 32];
        fill_random(&mut seed);
        let options = net_options(context, Identity::from_seed(seed), bootstrap(context))?;
        let guard = Arc::new(Fence::of(&RuleSet::load(context)?, Operator::Absent)?);
        let options = NetOptions { listen: listen(&options), guard, announcements, ..options };
        let node = Node::start(options, handler).await.map_err(|error| failures::net(&error))?;
        let client = client(Arc::new(node.clone()), owner, context)?;
        Ok(Self { client, node, network: context.settings.text(Key::NetworkName).to_owned() })
    }

    /// Ends the node.
    pub(crate) async fn close(self, context: &Context) {
        remember(context, &self.network, &self.node).await;
        if let Some(list) = self.node.revocations().filter(|_| context.joined.is_some())
            && let Err(failure) = save_revocations(&context.folder, &list)
        {
            tracing::warn!(error = failure.error, "revocations were not written down");
        }
        // The process ends next; whoever still waits learns of it from the closed connection.
        let _late = tokio::time::timeout(SHUTDOWN_WAIT, self.node.shutdown()).await;
    }
}
