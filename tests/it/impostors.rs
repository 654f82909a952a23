//! Servers that are not the controller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{PrivateKey, Subject, Token, server};
use rackhaven_tests::impostor::Cluster;
use rackhaven_tests::{Agent, address, wait_until};
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server got from those who came.
#[derive(Default)]
struct Heard {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    application_bytes: AtomicUsize,
}

/// Shakes hands with everybody, and counts what it is told.
async fn listen(tls: Arc<ServerConfig>) -> (SocketAddr, Arc<Heard>) {
    let address = address::fresh();
    let listener = TcpListener::bind(address).await.unwrap();
    let acceptor = TlsAcceptor::from(tls);
    let heard = Arc::new(Heard::default());
    let counted = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::Relaxed);
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            counted.handshakes.fetch_add(1, Ordering::Relaxed);
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                counted.application_bytes.fetch_add(length, Ordering::Relaxed);
            }
        }
    });
    (address, heard)
}

fn assert_told_nothing(heard: &Heard) {
    assert!(heard.connections.load(Ordering::Relaxed) > 0, "nobody came");
    assert_eq!(heard.application_bytes.load(Ordering::Relaxed), 0, "it was told something");
    assert_eq!(heard.handshakes.load(Ordering::Relaxed), 0, "it was trusted");
}

#[tokio::test]
async fn the_secret_is_not_told_to_a_server_of_another_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Cluster::generate("rh-ours").unwrap(), Cluster::generate("rh-theirs").unwrap());
    let (address, heard) = listen(theirs.server_tls().unwrap()).await;
    let token = Token::generate(ours.authority.fingerprint()).unwrap().reveal();
    let refused = Agent::new(folder.path(), "pi-1").join(&address.to_string(), &token, "").await.unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("nothing was sent to it"), "{}", refused.err);
    assert_told_nothing(&heard);
}

/// The fake shows the right authority's certificate beside its own, which that authority has not signed.
#[tokio::test]
async fn the_secret_is_not_told_to_a_server_that_only_shows_the_right_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Cluster::generate("rh-ours").unwrap(), Cluster::generate("rh-ours").unwrap());
    let key = PrivateKey::generate().unwrap();
    let validity = rackhaven_pki::Validity { now_unix_s: SystemClock::unix_ms() / 1000, life_s: 3600 };
    let signed_by_theirs = theirs.authority.issue_server(&key, validity).unwrap();
    let leaf = signed_by_theirs.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let chain = format!("{leaf}{}", ours.authority.certificate_pem());
    let tls = server::tls(&chain, &key, ours.authority.certificate_pem(), Arc::new(SystemClock)).unwrap();
    let (address, heard) = listen(tls).await;
    let token = Token::generate(ours.authority.fingerprint()).unwrap().reveal();
    let refused = Agent::new(folder.path(), "pi-1").join(&address.to_string(), &token, "").await.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_told_nothing(&heard);
}

/// An agent that has joined, and whose controller's address is somebody else's now.
async fn agent_at(ours: &Cluster, tls: Arc<ServerConfig>, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (address, heard) = listen(tls).await;
    let mut pi = Agent::new(folder.path(), "pi-1");
    let credentials = ours.credentials(Subject::Node("pi-1".parse().unwrap()), address).unwrap();
    let state = rackhaven_agent::state::StateFolder::open(pi.state()).unwrap();
    rackhaven_agent::state::save_identity(&state, &credentials).unwrap();
    pi.start().unwrap();
    wait_until(words, async || pi.log().contains(words)).await.unwrap();
    assert_told_nothing(&heard);
    // It does not give up: the address may be the right one again tomorrow.
    let before = heard.connections.load(Ordering::Relaxed);
    wait_until("another try", async || heard.connections.load(Ordering::Relaxed) > before).await.unwrap();
    assert_told_nothing(&heard);
    assert_eq!(pi.waiting_events(), 1);
}

#[tokio::test]
async fn an_agent_tells_nothing_to_a_server_of_another_authority() {
    let (ours, theirs) = (Cluster::generate("rh-ours").unwrap(), Cluster::generate("rh-theirs").unwrap());
    agent_at(&ours, theirs.server_tls().unwrap(), "from another authority").await;
    // Even under the same names.
    let theirs = Cluster::generate("rh-ours").unwrap();
    agent_at(&ours, theirs.server_tls().unwrap(), "was not trusted").await;
}

#[tokio::test]
async fn an_agent_tells_nothing_to_the_server_of_another_cluster_of_its_authority() {
    let ours = Cluster::generate("rh-ours").unwrap();
    // The same authority, signing for another name.
    let other = Cluster::generate("rh-other").unwrap();
    let credentials = |cluster: &Cluster, authority_pem: &str| {
        let mut credentials =
            cluster.credentials(Subject::Node("pi-1".parse().unwrap()), "127.0.0.1:1".parse().unwrap()).unwrap();
        credentials.ca_pem = authority_pem.to_owned();
        credentials
    };
    let pem = other.authority.certificate_pem();
    let misled = credentials(&ours, pem);
    let folder = tempfile::tempdir().unwrap();
    let (address, heard) = listen(other.server_tls().unwrap()).await;
    let mut pi = Agent::new(folder.path(), "pi-1");
    let state = rackhaven_agent::state::StateFolder::open(pi.state()).unwrap();
    let misled = rackhaven_pki::Credentials { endpoints: vec![address.to_string().parse().unwrap()], ..misled };
    rackhaven_agent::state::save_identity(&state, &misled).unwrap();
    pi.start().unwrap();
    wait_until("the refusal", async || pi.log().contains("for another cluster or is not a controller's"))
        .await
        .unwrap();
    assert_told_nothing(&heard);
}

/// A node's key is not enough to play the controller.
#[tokio::test]
async fn an_agent_tells_nothing_to_another_node() {
    let ours = Cluster::generate("rh-ours").unwrap();
    let node = ours.credentials(Subject::Node("pi-2".parse().unwrap()), "127.0.0.1:1".parse().unwrap()).unwrap();
    let chain = format!("{}{}", node.certificate_pem, node.ca_pem);
    let tls = server::tls(&chain, &node.key, &node.ca_pem, Arc::new(SystemClock)).unwrap();
    agent_at(&ours, tls, "was not trusted").await;
}
