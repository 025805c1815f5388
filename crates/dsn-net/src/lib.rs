//! The network port over libp2p, and nothing but: connections, our own request protocol, Kademlia to find nodes, mDNS.
//! What is asked and answered is decided in `dsn-core`, `dsn-client` and `dsn-farmer`; no type of libp2p leaves this
//! crate, addresses cross its border as text.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use dsn_core::{identity::Identity, ports::{Handler, Network}};
//! # use dsn_net::{NetError, NetOptions, Node};
//! # async fn run(handler: Arc<dyn Handler>) -> Result<(), Box<dyn std::error::Error>> {
//! let options = NetOptions {
//!     serve: true,
//!     listen: vec!["/ip4/0.0.0.0/tcp/0".into(), "/ip4/0.0.0.0/udp/0/quic-v1".into()],
//!     bootstrap: vec!["/ip4/192.0.2.7/tcp/4100".into()],
//!     ..NetOptions::new(Identity::from_seed([7; 32]), "main".parse()?)
//! };
//! let node = Node::start(options, handler).await?; // port in use, bad address: typed errors, here and only here
//! println!("{:?}", node.listen_addrs()); // real ports, each with /p2p/ID at its end: ready to be a bootstrap address
//! let servers = node.snapshot(false).await?; // the methods of dsn_core::ports::Network
//! println!("{}", servers.nodes.len());
//! node.shutdown().await; // ends and joins everything
//! # Ok(())
//! # }
//! ```
//!
//! - [`Node`]: the cloneable handle; implements [`dsn_core::ports::Network`].
//! - [`NetOptions`]: what a node is started with, a plain struct. [`NetError`]: why it did not start.
//! - [`address_to_bytes`], [`address_to_text`]: an address as a farmer record carries it, and back. [`check_address`]: is this text an address at all?
//!   [`Scope::of`]: from how far away it can be dialled. [`is_plain_tcp`]: nothing but TCP.

mod address;
mod admission;
mod behaviour;
mod book;
mod caps;
mod clock;
mod club;
mod codec;
mod crawl;
mod doorman;
mod driver;
mod error;
mod identity;
mod lists;
mod manners;
mod node;
mod options;
mod reach;
mod transport;
mod window;

pub use address::{
    Scope, address_to_bytes, address_to_text, check_address, is_plain_tcp, is_public_address, with_port_of,
};
pub use caps::{Cap, CapSpan};
pub use driver::Stray;
pub use error::NetError;
pub use node::Node;
pub use options::{NetOptions, Room, Waits};
pub use reach::{Reach, Reachability};
pub use transport::check_authority;
