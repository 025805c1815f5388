//! The pre-shared key of a TCP-only network: a cipher below everything else, for which both sides need the same key. Who has
//! another, or none, sees noise and sends it. Not here: where the key comes from.

use dsn_core::psk::PreSharedKey;
use futures::{AsyncRead, AsyncWrite, future::Either};
use libp2p::pnet::{self, PnetConfig, PnetError, PnetOutput};

/// The stream under the key, or as it is where there is none.
pub(super) async fn covered<S>(stream: S, key: Option<PreSharedKey>) -> Result<Either<PnetOutput<S>, S>, PnetError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match key {
        Some(key) => PnetConfig::new(pnet::PreSharedKey::new(*key.bytes())).handshake(stream).await.map(Either::Left),
        None => Ok(Either::Right(stream)),
    }
}
