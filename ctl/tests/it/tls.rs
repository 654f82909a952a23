//! The scripted controller behind TLS, with an authority of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Authority, Credentials, Identity, PrivateKey, Subject, Token, Validity, server};
use rackhaven_proto::model::{ClusterId, Endpoint};
use rackhaven_proto::v1::{EnrolResponse, Role, WhoAmIResponse};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::Status;

use crate::fleet::healthy;
use crate::script::{Controller, Script};

/// A cluster whose controller listens on this machine until the test ends.
pub(crate) struct Cluster {
    pub(crate) controller: Controller,
    pub(crate) endpoint: Endpoint,
    pub(crate) authority: Arc<Authority>,
    id: ClusterId,
}

/// Whom a certificate names, and when it is good.
pub(crate) fn identity(cluster: &ClusterId, user: &str) -> Identity {
    Identity { cluster: cluster.clone(), subject: Subject::User(user.parse().unwrap()) }
}

pub(crate) fn now_unix_s() -> i64 {
    SystemClock::unix_ms() / 1000
}

/// Good from now on for a day.
pub(crate) fn fresh() -> Validity {
    Validity { now_unix_s: now_unix_s(), life_s: 86_400 }
}

impl Cluster {
    /// Starts it. Whoever enrols or renews becomes ann.
    pub(crate) fn start(id: &str) -> Self {
        let id: ClusterId = id.parse().unwrap();
        let (authority, _) = Authority::generate(&id, now_unix_s()).unwrap();
        let (authority, key) = (Arc::new(authority), PrivateKey::generate().unwrap());
        let chain = authority.issue_server(&key, fresh()).unwrap();
        let tls = server::tls(&chain, &key, authority.certificate_pem(), Arc::new(SystemClock)).unwrap();
        let who = WhoAmIResponse {
            name: "user/ann".to_owned(),
            role: Role::Admin.into(),
            cluster_id: id.to_string(),
            cluster_name: "My Rack".to_owned(),
        };
        let controller = Controller::new(Script { status: healthy(), who, ..Script::default() });
        let address = listen(controller.clone(), TlsAcceptor::from(tls));
        let cluster = Self { controller, endpoint: address.to_string().parse().unwrap(), authority, id };
        cluster.enrols("ann", fresh());
        cluster
    }

    /// From now on whoever enrols or renews becomes `user`.
    pub(crate) fn enrols(&self, user: &str, validity: Validity) {
        let (authority, id) = (Arc::clone(&self.authority), self.id.clone());
        let identity = identity(&id, user);
        self.answers_csr(move |csr| {
            Ok(EnrolResponse {
                certificate_pem: authority.issue_client(&identity, csr, validity).unwrap(),
                ca_pem: authority.certificate_pem().to_owned(),
                cluster_id: id.to_string(),
                cluster_name: "My Rack".to_owned(),
                name: identity.subject.name().to_owned(),
                endpoints: vec![],
            })
        });
    }

    /// From now on requests for certificates are answered so.
    pub(crate) fn answers_csr(&self, answer: impl FnMut(&[u8]) -> Result<EnrolResponse, Status> + Send + 'static) {
        self.controller.0.lock().unwrap().enrolment = Some(Box::new(answer));
    }

    /// An invitation of this cluster.
    pub(crate) fn token(&self) -> String {
        Token::generate(self.authority.fingerprint()).unwrap().reveal()
    }

    /// Credentials of ann.
    pub(crate) fn credentials(&self, validity: Validity, endpoints: Vec<Endpoint>) -> Credentials {
        let key = PrivateKey::generate().unwrap();
        let identity = identity(&self.id, "ann");
        Credentials {
            cluster_id: self.id.clone(),
            cluster_name: "My Rack".to_owned(),
            certificate_pem: self.authority.issue_client(&identity, &key.signing_request().unwrap(), validity).unwrap(),
            identity,
            endpoints,
            ca_pem: self.authority.certificate_pem().to_owned(),
            key,
        }
    }
}

fn listen(controller: Controller, acceptor: TlsAcceptor) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let incoming = futures_util::stream::unfold((listener, acceptor), |(listener, acceptor)| async {
                let plain = accept(&listener, &acceptor).await;
                Some((Ok::<_, std::io::Error>(plain), (listener, acceptor)))
            });
            let server = tonic::transport::Server::builder().add_routes(controller.routes());
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
    told.recv().unwrap()
}

/// The next connection whose handshake goes well, in plain.
async fn accept(listener: &TcpListener, acceptor: &TlsAcceptor) -> DuplexStream {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut tls) = acceptor.accept(tcp).await {
            let (plain, mut far) = duplex(64 * 1024);
            tokio::spawn(async move { copy_bidirectional(&mut tls, &mut far).await });
            return plain;
        }
    }
}

/// The keys in the requests for certificates, in their order; each request is refused.
pub(crate) fn refusing_and_noting(cluster: &Cluster) -> Arc<Mutex<Vec<[u8; 32]>>> {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&keys);
    cluster.answers_csr(move |csr| {
        noted.lock().unwrap().push(Authority::request_key_hash(csr).unwrap());
        Err(Status::unavailable("the answer was lost"))
    });
    keys
}
