//! TLS that is somebody else's: a proxy with a certificate before a WebSocket port, as web servers put before a service do;
//! and the authority that has signed the certificate, which nobody knows who is not told of it.

use std::{net::SocketAddr, sync::Arc};

use futures::{AsyncReadExt, future::select, io::copy};
use futures_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};
use libp2p::tcp::tokio::TcpStream as Stream;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};

/// A certificate for this machine with its key, and the authority that has signed it.
fn certified() -> (CertificateDer<'static>, PrivateKeyDer<'static>, Certificate) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&authority_key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    let certificate = names.signed_by(&key, &authority, &authority_key).expect("signed");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    (certificate.der().clone(), key, authority)
}

/// A proxy for a farmer that listens there; gives its port and the authority. It runs as long as the runtime does.
pub(crate) async fn proxy(before: SocketAddr) -> (u16, Certificate) {
    let (certificate, key, authority) = certified();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("of one key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(outside) = acceptor.accept(Stream(outside)).await else { return };
                let Ok(inside) = TcpStream::connect(before).await else { return };
                let ((from_outside, mut to_outside), (from_inside, mut to_inside)) =
                    (outside.split(), Stream(inside).split());
                let (inwards, outwards) = (copy(from_outside, &mut to_inside), copy(from_inside, &mut to_outside));
                select(Box::pin(inwards), Box::pin(outwards)).await;
            });
        }
    });
    (port, authority)
}

/// Where a node listens for WebSocket, of all its addresses.
pub(crate) fn web_port(listening: &[String]) -> SocketAddr {
    let web = listening.iter().find(|address| address.contains("/ws")).expect("it listens for WebSocket");
    let port = web.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    SocketAddr::from(([127, 0, 0, 1], port))
}
