//! A farmer that takes part in a real network, and serves every piece, and every slice of one, with a flipped bit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dsn_core::{
    identity::Identity,
    network_name::NetworkName,
    node_id::NodeId,
    ports::{Environment, Handler, InlineCompute},
    rpc::{Refusal, Request, Response, StoreHeader},
};
use dsn_farmer::{Farmer, FarmerOptions, FarmerParts, UnlimitedDisk};
use dsn_net::{NetOptions, Node};
use dsn_store::MemoryStore;

/// A lying farmer; ends when dropped.
pub(crate) struct Liar {
    handler: Arc<Lying>,
    runtime: Option<tokio::runtime::Runtime>,
    node: Node,
}

struct Lying {
    farmer: Farmer,
    lies: AtomicU64,
}

struct Now;

impl Environment for Now {
    fn unix_secs(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        blake3::Hasher::new().update(&next.to_le_bytes()).finalize_xof().fill(bytes);
    }
}

impl Lying {
    fn twist(&self, bytes: &mut Bytes) {
        let mut twisted = BytesMut::from(&bytes[..]);
        twisted[0] ^= 1;
        *bytes = twisted.freeze();
        self.lies.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Handler for Lying {
    fn admit(&self, parts: &[StoreHeader]) -> Result<(), Refusal> {
        self.farmer.admit(parts)
    }

    async fn handle(&self, from: NodeId, request: Request) -> Response {
        match self.farmer.handle(from, request).await {
            Response::Fetched(mut parts) => {
                parts.iter_mut().for_each(|part| self.twist(&mut part.bytes));
                Response::Fetched(parts)
            }
            Response::Sliced(mut slices) => {
                slices.iter_mut().flatten().for_each(|slice| self.twist(slice));
                Response::Sliced(slices)
            }
            honest => honest,
        }
    }
}

impl Liar {
    /// Joins the network at `bootstrap`.
    pub(crate) fn join(bootstrap: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let identity = Identity::from_seed([0x11; 32]);
        let network_name: NetworkName = "main".parse().expect("valid");
        let (handler, node) = runtime.block_on(async {
            let parts = FarmerParts {
                store: Arc::new(MemoryStore::new()),
                disk: Arc::new(UnlimitedDisk),
                compute: Arc::new(InlineCompute),
                environment: Arc::new(Now),
                identity: identity.clone(),
                network_name: network_name.clone(),
            };
            let farmer = Farmer::new(parts, FarmerOptions::lending(1 << 40));
            let handler = Arc::new(Lying { farmer, lies: AtomicU64::new(0) });
            let options = NetOptions {
                serve: true,
                listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
                bootstrap: vec![bootstrap.into()],
                mdns: false,
                ..NetOptions::new(identity, network_name)
            };
            let node = Node::start(options, Arc::clone(&handler) as _).await.expect("a node");
            // Only a node that others know is asked to hold anything.
            dsn_core::ports::Network::snapshot(&node, true).await.expect("others answer");
            (handler, node)
        });
        Self { handler, runtime: Some(runtime), node }
    }

    /// Pieces it lied about.
    pub(crate) fn lies(&self) -> u64 {
        self.handler.lies.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.node.shutdown());
            runtime.shutdown_background();
        }
    }
}
