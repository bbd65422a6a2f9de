//! Off loopback: TLS with the pinned certificate, and a join token.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use subak_proto::JoinToken;
use subak_worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::peer::{Peer, Running};

fn token(certificate: Option<[u8; 32]>) -> Option<String> {
    Some(JoinToken { secret: "open-sesame".to_owned(), certificate }.to_string())
}

#[tokio::test]
async fn a_worker_trusts_the_pinned_certificate_and_no_other() {
    let key = rcgen::generate_simple_self_signed(vec!["subak".to_owned()]).unwrap();
    let pin: [u8; 32] = Sha256::digest(key.cert.der()).into();
    let (mut peer, address): (Peer, SocketAddr) =
        Peer::start_tls(&key.cert.pem(), &key.signing_key.serialize_pem()).await;
    let mut config = peer.config();
    config.servers = vec![format!("https://{address}")];

    config.join_token = token(Some([0; 32]));
    let mut other = config.clone();
    other.state_folder = peer.folder.path().join("other");
    let stranger = Running::start(other);
    // Each server is looked at many times a second: the stranger has had its chance long before
    // the worker has come and gone.
    config.join_token = token(Some(pin));
    let worker = Running::start(config);
    let mut call = peer.accept().await;
    assert_eq!(call.bearer.as_deref(), Some("Bearer open-sesame"));
    assert_eq!(call.hello.worker, "tester");
    call.welcome(7, std::time::Duration::from_secs(60));
    worker.end().await.unwrap();
    stranger.end().await.unwrap();
    assert!(peer.nobody_else_called());
}

#[tokio::test]
async fn addresses_that_cannot_be_safe_are_refused() {
    let peer = Peer::start();
    for (server, token, error) in [
        ("http://203.0.113.1:7600", None, "plain http is for loopback only"),
        ("https://203.0.113.1:7600", None, "needs a join token"),
        ("https://203.0.113.1:7600", token(None), "pins no certificate"),
        ("ftp://203.0.113.1", None, "give https://"),
        ("unix:///nowhere", Some("nonsense".to_owned()), "join token"),
    ] {
        let mut config = peer.config();
        config.servers = vec![server.to_owned()];
        config.join_token = token;
        let ended = Worker::new(config).run(CancellationToken::new()).await;
        let shown = format!("{:#}", ended.unwrap_err());
        assert!(shown.contains(error), "{shown}");
    }
}
