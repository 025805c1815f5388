//! Why a node did not start. Everything that can go wrong later is a `dsn_core::ports::NetworkError`.

use std::{io, time::Duration};

use thiserror::Error;

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum NetError {
    /// Not a multiaddr that this program can use.
    #[error("address {address:?} is not usable: {reason}")]
    BadAddress {
        /// What was given, cut short.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address cannot be listened on; `source` says why (a port in use is `AddrInUse`).
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The operating system's word.
        source: io::Error,
    },
    /// The operating system took the address but no interface came up for it.
    #[error("nothing came up to listen on {address} within {} s", after.as_secs())]
    ListenTimeout {
        /// The address.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// Not a certificate of an authority.
    #[error("it is no certificate of an authority: {reason}")]
    BadAuthority {
        /// What is wrong with it.
        reason: String,
    },
    /// The encryption layer could not be set up.
    #[error("cannot set up the transport: {reason}")]
    Transport {
        /// What it said.
        reason: String,
    },
}
