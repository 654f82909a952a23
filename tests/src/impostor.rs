//! The controller's side of the protocol spoken by hand, to say what no controller says.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Authority, Credentials, Identity, PrivateKey, Subject, Validity, server};
use rackhaven_proto::model::ClusterId;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_proto::v1::sessions_server::{Sessions, SessionsServer};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::address;
use crate::wait::PATIENCE;

/// A certificate authority of its own, and what it gives out.
#[derive(Debug)]
pub struct Cluster {
    /// The cluster's id.
    pub id: ClusterId,
    /// Its authority.
    pub authority: Authority,
}

impl Cluster {
    /// Makes one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(id: &str) -> anyhow::Result<Self> {
        let id: ClusterId = id.parse()?;
        let (authority, _) = Authority::generate(&id, now_s())?;
        Ok(Self { id, authority })
    }

    /// TLS for a server of this cluster.
    ///
    /// # Errors
    /// When signing fails.
    pub fn server_tls(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let key = PrivateKey::generate()?;
        let chain = self.authority.issue_server(&key, validity())?;
        Ok(server::tls(&chain, &key, self.authority.certificate_pem(), Arc::new(SystemClock))?)
    }

    /// Credentials for a member of this cluster, to be used at `address`.
    ///
    /// # Errors
    /// When signing fails.
    pub fn credentials(&self, subject: Subject, address: SocketAddr) -> anyhow::Result<Credentials> {
        let identity = Identity { cluster: self.id.clone(), subject };
        let key = PrivateKey::generate()?;
        let certificate_pem = self.authority.issue_client(&identity, &key.signing_request()?, validity())?;
        Ok(Credentials {
            cluster_id: self.id.clone(),
            cluster_name: "impostor".to_owned(),
            identity,
            endpoints: vec![address.to_string().parse()?],
            key,
            certificate_pem,
            ca_pem: self.authority.certificate_pem().to_owned(),
        })
    }
}

fn now_s() -> i64 {
    SystemClock::unix_ms() / 1000
}

fn validity() -> Validity {
    Validity { now_unix_s: now_s(), life_s: 3600 }
}

/// A controller in the hand of the story: it says what it is told to say.
#[derive(Debug)]
pub struct FakeController {
    /// Whom its agents belong to.
    pub cluster: Cluster,
    address: SocketAddr,
    sessions: mpsc::Receiver<FakeSession>,
    task: JoinHandle<()>,
}

/// The controller's side of one session.
#[derive(Debug)]
pub struct FakeSession {
    /// The agent's first words.
    pub hello: v1::Hello,
    inbound: Streaming<v1::AgentMessage>,
    outbox: mpsc::Sender<Result<v1::ControllerMessage, Status>>,
}

impl FakeController {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::generate("rh-fake")?;
        let address = address::fresh();
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let acceptor = TlsAcceptor::from(cluster.server_tls()?);
        let (opened, sessions) = mpsc::channel(8);
        let (accepted, incoming) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            let service = SessionsServer::new(Service { opened: Mutex::new(opened) });
            let serving = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(ReceiverStream::new(incoming));
            let accepting = async {
                while let Ok((tcp, _)) = listener.accept().await {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tls, &mut ours).await });
                    if accepted.send(Ok::<_, std::io::Error>(theirs)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = serving => {}
                () = accepting => {}
            }
        });
        Ok(Self { cluster, address, sessions, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next session that an agent opens; it is welcomed.
    ///
    /// # Errors
    /// When none comes.
    pub async fn session(&mut self) -> anyhow::Result<FakeSession> {
        let next = timeout(PATIENCE, self.sessions.recv()).await.context("no agent opens a session")?;
        let session = next.context("the server has ended")?;
        let settings = v1::Settings { heartbeat_ms: 200, sample_ms: 1000, endpoints: Vec::new() };
        let welcome = v1::Welcome { settings: Some(settings), wall_unix_ms: SystemClock::unix_ms() };
        session.send(ToAgent::Welcome(welcome)).await?;
        Ok(session)
    }
}

impl Drop for FakeController {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeSession {
    /// Sends a message.
    ///
    /// # Errors
    /// When the agent is gone.
    pub async fn send(&self, body: ToAgent) -> anyhow::Result<()> {
        self.outbox.send(Ok(v1::ControllerMessage { body: Some(body) })).await.context("the agent is gone")
    }

    /// Waits for what `pick` picks among the agent's messages; the others are dropped.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn wait_for<T>(&mut self, what: &str, mut pick: impl FnMut(FromAgent) -> Option<T>) -> anyhow::Result<T> {
        let reading = async {
            loop {
                let message = self.inbound.message().await?.context("the agent ended the session")?;
                if let Some(picked) = message.body.and_then(&mut pick) {
                    return anyhow::Ok(picked);
                }
            }
        };
        timeout(PATIENCE, reading).await.with_context(|| format!("waited for {what}"))?
    }
}

struct Service {
    opened: Mutex<mpsc::Sender<FakeSession>>,
}

#[tonic::async_trait]
impl Sessions for Service {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<v1::ControllerMessage, Status>> + Send>>;

    async fn open(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::OpenStream>, Status> {
        let mut inbound = request.into_inner();
        let Some(FromAgent::Hello(hello)) = inbound.message().await?.and_then(|message| message.body) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (outbox, outgoing) = mpsc::channel(64);
        let session = FakeSession { hello, inbound, outbox };
        self.opened.lock().await.send(session).await.map_err(|_| Status::unavailable("the story is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}
