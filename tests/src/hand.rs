//! The agent's side of the protocol spoken by hand, to say what no agent says.

use std::sync::Arc;

use anyhow::Context;
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Credentials, PrivateKey, Subject, Token, client, random};
use rackhaven_proto::model::Endpoint;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_proto::v1::controller_message::Body as Answer;
use rackhaven_proto::v1::enrolment_client::EnrolmentClient;
use rackhaven_proto::v1::sessions_client::SessionsClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::client::connect;
use crate::wait::{PATIENCE, wait_for};

/// A channel without a certificate, as one has it who was invited.
///
/// # Errors
/// When the controller cannot be reached or is not the invitation's.
pub async fn connect_uninvited(endpoint: &Endpoint, ca_fingerprint: [u8; 32]) -> anyhow::Result<Channel> {
    let tls = client::enrolment_tls(ca_fingerprint, Arc::new(SystemClock))?;
    let stream = client::dial(endpoint, &tls, "controller.internal").await?;
    Ok(client::channel(stream).await?)
}

/// What a machine asks that joins as `name`.
///
/// # Errors
/// When the key cannot sign.
pub fn enrolment(token: &Token, key: &PrivateKey, name: &str) -> anyhow::Result<v1::EnrolRequest> {
    Ok(v1::EnrolRequest {
        token_id: token.id.to_string(),
        token_secret: token.secret().to_owned(),
        csr_der: key.signing_request()?,
        kind: v1::SubjectKind::Node.into(),
        name: name.to_owned(),
        fallback_name: String::new(),
    })
}

/// Asks for a certificate once.
///
/// # Errors
/// When there is no connection. The refusal of the controller is the inner error.
pub async fn enrol(
    endpoint: &Endpoint,
    token: &Token,
    request: v1::EnrolRequest,
) -> anyhow::Result<Result<v1::EnrolResponse, Status>> {
    let channel = connect_uninvited(endpoint, token.ca_fingerprint).await?;
    Ok(EnrolmentClient::new(channel).enrol(request).await.map(tonic::Response::into_inner))
}

/// Joins without an agent.
///
/// # Errors
/// When the controller refuses.
pub async fn join(endpoint: &Endpoint, token: &str, name: &str) -> anyhow::Result<Credentials> {
    let token: Token = token.parse()?;
    let key = PrivateKey::generate()?;
    let answer = enrol(endpoint, &token, enrolment(&token, &key, name)?).await??;
    Ok(Credentials::from_enrolment(&token, &key, endpoint, answer)?)
}

/// The first words of an honest agent.
///
/// # Errors
/// When there is no randomness.
pub fn hello(node: &str) -> anyhow::Result<v1::Hello> {
    let facts = v1::NodeFacts {
        hostname: node.to_owned(),
        arch: "arm64".to_owned(),
        cpu_count: 4,
        memory_total_bytes: 4_000_000_000,
        boot_id: "2f1f2b52-6f5d-4f0a-9a57-0d6a4e2f3c11".to_owned(),
        ..v1::NodeFacts::default()
    };
    Ok(v1::Hello {
        protocol: rackhaven_proto::PROTOCOL_VERSION,
        node: node.to_owned(),
        agent_version: "0.0.1".to_owned(),
        run_id: random::<16>()?.to_vec(),
        facts: Some(facts),
        last_run: None,
        wall_unix_ms: SystemClock::unix_ms(),
    })
}

/// A session of a handmade agent.
#[derive(Debug)]
pub struct HandSession {
    outbox: mpsc::Sender<v1::AgentMessage>,
    inbound: Streaming<v1::ControllerMessage>,
}

impl HandSession {
    /// Opens a session as the holder of `credentials`, and awaits its welcome.
    ///
    /// # Errors
    /// When there is no connection, or the controller refuses: then the cause is a [`Status`].
    pub async fn open(credentials: &Credentials) -> anyhow::Result<Self> {
        let Subject::Node(name) = &credentials.identity.subject else { anyhow::bail!("not a node's credentials") };
        Self::open_with(credentials, Body::Hello(hello(name.as_str())?)).await
    }

    /// The same once the node's last session is over.
    ///
    /// # Errors
    /// When the controller goes on refusing.
    pub async fn open_next(credentials: &Credentials) -> anyhow::Result<Self> {
        wait_for("the session before to be over", async || Self::open(credentials).await.map(Some)).await
    }

    /// The same with other first words.
    ///
    /// # Errors
    /// As [`HandSession::open`].
    pub async fn open_with(credentials: &Credentials, first: Body) -> anyhow::Result<Self> {
        let channel = connect(credentials, None).await?;
        let (outbox, outgoing) = mpsc::channel(64);
        outbox.send(v1::AgentMessage { body: Some(first) }).await?;
        let mut client = SessionsClient::new(channel);
        let opened = client.open(ReceiverStream::new(outgoing));
        let inbound = timeout(PATIENCE, opened).await.context("no answer to the hello")??.into_inner();
        let mut session = Self { outbox, inbound };
        match session.next().await?? {
            Some(Answer::Welcome(_)) => Ok(session),
            other => anyhow::bail!("not a welcome: {other:?}"),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn send(&self, body: Body) -> anyhow::Result<()> {
        self.outbox.send(v1::AgentMessage { body: Some(body) }).await.context("the session has ended")
    }

    /// The next message of the controller. The inner error is the status by which it ended the session.
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn next(&mut self) -> anyhow::Result<Result<Option<Answer>, Status>> {
        let message = timeout(PATIENCE, self.inbound.message()).await.context("the controller says nothing")?;
        Ok(message.map(|message| message.and_then(|message| message.body)))
    }

    /// Waits until the controller ends the session: its status, or none if it said nothing.
    ///
    /// # Errors
    /// When it does not end it.
    pub async fn ended(&mut self) -> anyhow::Result<Option<Status>> {
        loop {
            match self.next().await? {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(status) => return Ok(Some(status)),
            }
        }
    }
}

/// A heartbeat of now.
pub fn heartbeat() -> Body {
    Body::Heartbeat(v1::Heartbeat { wall_unix_ms: SystemClock::unix_ms() })
}
