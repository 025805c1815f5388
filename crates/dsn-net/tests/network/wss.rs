//! WebSocket behind somebody else's TLS: a farmer listens in the clear, whoever dials it reaches a proxy that has a
//! certificate, as web servers put before a service do.

use bytes::Bytes;
use dsn_core::ports::{Network, NetworkError};
use dsn_net::NetOptions;

use crate::{
    proxy::{proxy, web_port},
    support::{client, farmer, holds, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_farmer_behind_a_tls_proxy_is_reached_by_who_trusts_its_certificate() {
    let farmer = start(farmer(1, &["/ip4/127.0.0.1/tcp/0/ws"])).await;
    let (proxied, authority) = proxy(web_port(&farmer.listen_addrs())).await;
    let authority = Bytes::copy_from_slice(authority.der());
    for way in ["/dns4/localhost/tcp/PORT/wss", "/dns/localhost/tcp/PORT/tls/ws", "/ip4/127.0.0.1/tcp/PORT/tls/ws"] {
        let bootstrap = vec![way.replace("PORT", &proxied.to_string())];
        let options = |authorities| NetOptions { bootstrap: bootstrap.clone(), authorities, ..client(2) };
        let node = start(options(vec![authority.clone()])).await;
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
