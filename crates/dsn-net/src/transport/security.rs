//! Noise and TLS 1.3 on one stream: whichever both sides speak, Noise first, since it is the faster of the two as libp2p
//! sets them up. QUIC brings its own TLS.
//!
//! TLS offers ChaCha20 first, where AES-GCM would be faster on most machines. The order is in the provider of rustls'
//! configuration, which cannot be changed once that is built; `libp2p_tls::make_client_config` builds it from a private
//! list, and the certificate verifiers that a configuration of ours would need are private too. With what is public
//! (`certificate::generate`, `certificate::parse`) both verifiers would have to be written here again: who the other side
//! is must not hang on a copy of ours, so the order stays. QUIC's configuration has no place for another one at all.

use std::iter;

use futures::{
    AsyncRead, AsyncWrite, FutureExt, TryFutureExt,
    future::{BoxFuture, Either},
};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    identity::Keypair,
    noise, tls,
};
use thiserror::Error;

const NOISE: &str = "/noise";
const TLS: &str = "/tls/1.0.0";

/// Both, for any stream.
#[derive(Clone)]
pub(super) struct Security {
    noise: noise::Config,
    tls: tls::Config,
}

/// Why a connection is not secure.
#[derive(Debug, Error)]
pub(super) enum SecurityError {
    #[error(transparent)]
    Noise(#[from] noise::Error),
    #[error(transparent)]
    Tls(#[from] tls::UpgradeError),
    #[error("the keys are of no use")]
    Keys,
}

type Secured<S> = (PeerId, Either<noise::Output<S>, tls::TlsStream<S>>);

impl Security {
    pub(super) fn new(keys: &Keypair) -> Result<Self, SecurityError> {
        let noise = noise::Config::new(keys)?;
        let tls = tls::Config::new(keys).map_err(|_| SecurityError::Keys)?;
        Ok(Self { noise, tls })
    }
}

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = iter::Chain<iter::Once<Self::Info>, iter::Once<Self::Info>>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(NOISE).chain(iter::once(TLS))
    }
}

impl<S> InboundConnectionUpgrade<S> for Security
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<S>;
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: S, info: Self::Info) -> Self::Future {
        if info == NOISE {
            let secured = self.noise.upgrade_inbound(stream, info).err_into();
            secured.map_ok(|(peer, stream)| (peer, Either::Left(stream))).boxed()
        } else {
            let secured = self.tls.upgrade_inbound(stream, info).err_into();
            secured.map_ok(|(peer, stream)| (peer, Either::Right(stream))).boxed()
        }
    }
}

impl<S> OutboundConnectionUpgrade<S> for Security
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<S>;
    type Error = SecurityError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: S, info: Self::Info) -> Self::Future {
        if info == NOISE {
            let secured = self.noise.upgrade_outbound(stream, info).err_into();
            secured.map_ok(|(peer, stream)| (peer, Either::Left(stream))).boxed()
        } else {
            let secured = self.tls.upgrade_outbound(stream, info).err_into();
            secured.map_ok(|(peer, stream)| (peer, Either::Right(stream))).boxed()
        }
    }
}
