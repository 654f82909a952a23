//! The API as an admin's program uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Credentials, client};
use rackhaven_proto::model::{Endpoint, NodeState};
use rackhaven_proto::v1;
use rackhaven_proto::v1::access_client::AccessClient;
use rackhaven_proto::v1::events_client::EventsClient;
use rackhaven_proto::v1::fleet_client::FleetClient;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::wait::PATIENCE;

/// Most of what a list can be asked for.
const ALL: u32 = 10_000;

/// A client with the credentials of a context file. Connects when it is asked something, and anew after a failure.
#[derive(Debug)]
pub struct Client {
    context: PathBuf,
    channel: Mutex<Option<Channel>>,
}

impl Client {
    /// With the context in `file`.
    pub fn new(file: &Path) -> Self {
        Self { context: file.to_owned(), channel: Mutex::default() }
    }

    /// Calls the API.
    ///
    /// # Errors
    /// When there is no connection, no answer, or a refusal.
    pub async fn ask<T>(&self, call: impl AsyncFnOnce(Channel) -> Result<T, Status>) -> anyhow::Result<T> {
        let mut slot = self.channel.lock().await;
        let channel = match slot.take() {
            Some(channel) => channel,
            None => {
                let text = std::fs::read_to_string(&self.context)
                    .with_context(|| format!("reading {}", self.context.display()))?;
                connect(&Credentials::from_toml(&text)?, None).await?
            }
        };
        let answer = timeout(PATIENCE, call(channel.clone())).await.context("the controller does not answer")??;
        *slot = Some(channel);
        Ok(answer)
    }

    /// The whole fleet.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn status(&self) -> anyhow::Result<v1::FleetStatus> {
        self.ask(async |channel| Ok(FleetClient::new(channel).get_status(v1::GetStatusRequest {}).await?.into_inner()))
            .await
    }

    /// One node.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn node(&self, name: &str) -> anyhow::Result<v1::NodeDetail> {
        let request = v1::GetNodeRequest { name: name.to_owned() };
        self.ask(async |channel| Ok(FleetClient::new(channel).get_node(request).await?.into_inner())).await
    }

    /// The past of one node in at most so many points.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn history(
        &self,
        name: &str,
        since_seconds_ago: u64,
        max_points: u32,
    ) -> anyhow::Result<v1::NodeHistory> {
        let name = name.to_owned();
        let request = v1::GetHistoryRequest { name, since_seconds_ago, until_seconds_ago: 0, max_points };
        self.ask(async |channel| Ok(FleetClient::new(channel).get_history(request).await?.into_inner())).await
    }

    /// One node's state.
    ///
    /// # Errors
    /// When the controller does not tell, or has no such node.
    pub async fn state(&self, name: &str) -> anyhow::Result<NodeState> {
        let status = self.status().await?;
        let node = status.nodes.iter().find(|node| node.name == name).with_context(|| format!("no node {name}"))?;
        Ok(v1::NodeState::try_from(node.state)?.try_into()?)
    }

    /// All stored events, oldest first.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn events(&self) -> anyhow::Result<Vec<v1::StoredEvent>> {
        let request = v1::ListEventsRequest { limit: ALL, ..v1::ListEventsRequest::default() };
        self.ask(async |channel| collect(EventsClient::new(channel).list(request).await?.into_inner()).await).await
    }

    /// All audit records, oldest first.
    ///
    /// # Errors
    /// When the controller does not tell.
    pub async fn audit(&self) -> anyhow::Result<Vec<v1::AuditRecord>> {
        let request = v1::ListAuditRequest { limit: ALL, verify: false };
        self.ask(async |channel| collect(AccessClient::new(channel).list_audit(request).await?.into_inner()).await)
            .await
    }
}

/// A channel as the holder of `credentials`, to `endpoint` or else to the first of the credentials'.
///
/// # Errors
/// When it cannot be reached or is not trusted.
pub async fn connect(credentials: &Credentials, endpoint: Option<&Endpoint>) -> anyhow::Result<Channel> {
    let endpoint = endpoint.or(credentials.endpoints.first()).context("the credentials name no endpoint")?;
    let tls = client::tls(credentials, Arc::new(SystemClock))?;
    let stream = client::dial(endpoint, &tls, &credentials.cluster_id.server_name()).await?;
    Ok(client::channel(stream).await?)
}

/// All messages of a stream that ends.
///
/// # Errors
/// The status with which it ends.
pub async fn collect<T>(mut stream: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(message) = stream.message().await? {
        all.push(message);
    }
    Ok(all)
}
