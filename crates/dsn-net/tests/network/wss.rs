//! WebSocket behind somebody else's TLS: a farmer listens in the clear, whoever dials it reaches a proxy that has a
//! certificate, as web servers put before a service do.

use std::net::SocketAddr;

use bytes::Bytes;
use dsn_core::ports::{Network, NetworkError};
use dsn_net::NetOptions;
use futures::{AsyncReadExt, future::select, io::copy};
use futures_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use libp2p::tcp::tokio::TcpStream as Stream;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{client, farmer, holds, start};

/// A proxy for a farmer that listens there; gives its port and the certificate that it shows, which nobody has signed.
async fn proxy(before: SocketAddr) -> (u16, Bytes) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.key_pair.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(outside) = acceptor.accept(Stream(outside)).await else { return };
                let inside = Stream(TcpStream::connect(before).await.unwrap());
                let ((from_outside, mut to_outside), (from_inside, mut to_inside)) = (outside.split(), inside.split());
                let (inwards, outwards) = (copy(from_outside, &mut to_inside), copy(from_inside, &mut to_outside));
                select(Box::pin(inwards), Box::pin(outwards)).await;
            });
        }
    });
    (port, Bytes::copy_from_slice(made.cert.der()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farmer_behind_a_tls_proxy_is_reached_by_who_trusts_its_certificate() {
    let farmer = start(farmer(1, &["/ip4/127.0.0.1/tcp/0/ws"])).await;
    let listening = farmer.listen_addrs().remove(0);
    let port: u16 = listening.split('/').nth(4).unwrap().parse().unwrap();
    let (proxied, certificate) = proxy(SocketAddr::from(([127, 0, 0, 1], port))).await;
    for way in ["/dns4/localhost/tcp/PORT/wss", "/dns/localhost/tcp/PORT/tls/ws", "/ip4/127.0.0.1/tcp/PORT/tls/ws"] {
        let bootstrap = vec![way.replace("PORT", &proxied.to_string())];
        let options = |authorities| NetOptions { bootstrap: bootstrap.clone(), authorities, ..client(2) };
        let node = start(options(vec![certificate.clone()])).await;
        node.snapshot(false).await.unwrap();
        assert!(node.request(farmer.local_id(), holds()).await.is_ok(), "{way}");
        node.shutdown().await;
        let wary = NetOptions {
            waits: dsn_net::Waits { seed: std::time::Duration::from_secs(2), ..Default::default() },
            ..options(vec![])
        };
        let refused = start(wary).await.snapshot(false).await;
        assert!(matches!(refused, Err(NetworkError::NoPeers)), "{way}: nobody vouches for it: {refused:?}");
    }
}
