//! The only place that dials.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use rackhaven_pki::client::{self, DialError};
use rackhaven_pki::clock::SystemClock;
use rackhaven_pki::{Credentials, Token};
use rackhaven_proto::model::Endpoint;
use rackhaven_proto::v1::access_client::AccessClient;
use rackhaven_proto::v1::alerts_client::AlertsClient;
use rackhaven_proto::v1::backups_client::BackupsClient;
use rackhaven_proto::v1::enrolment_client::EnrolmentClient;
use rackhaven_proto::v1::events_client::EventsClient;
use rackhaven_proto::v1::fleet_client::FleetClient;
use rackhaven_proto::v1::k3s_client::K3sClient;
use rackhaven_proto::v1::k3s_cluster_client::K3sClusterClient;
use rackhaven_proto::v1::k3s_workloads_client::K3sWorkloadsClient;
use rackhaven_proto::v1::logs_client::LogsClient;
use rackhaven_proto::v1::power_client::PowerClient;
use rustls::ClientConfig;
use tokio::net::UnixStream;
use tonic::transport::Channel;

use crate::error::CtlError;
use crate::failure;
use crate::target::Target;

/// How long an endpoint is waited for before the next one is tried beside it: a laptop away from home must not wait
/// for an address of its LAN to time out each time.
const HEAD_START: Duration = Duration::from_millis(300);

/// An open connection to the controller.
pub(crate) struct Connection {
    channel: Channel,
    /// By which way it was reached.
    pub(crate) origin: Origin,
    timeout: Duration,
}

/// The way by which a controller was reached, for people.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The context's name; none on the controller's own machine.
    pub(crate) context: Option<String>,
    /// The cluster's name as the context has it; none on the controller's own machine.
    pub(crate) cluster: Option<String>,
    /// The address that answered; none over a Unix socket.
    pub(crate) endpoint: Option<Endpoint>,
    /// The same as text, or the socket's path.
    pub(crate) address: String,
}

impl Connection {
    /// Dials `target`'s endpoints until one answers, for `timeout` at most.
    pub(crate) async fn open(target: &Target, timeout: Duration) -> Result<Self, CtlError> {
        match target {
            Target::Socket(path) => Self::open_socket(path, timeout).await,
            Target::Context(context) => {
                let mut connection = Self::open_as(&context.credentials, timeout).await?;
                connection.origin.context = Some(context.name.clone());
                Ok(connection)
            }
        }
    }

    /// Dials as the holder of `credentials`.
    pub(crate) async fn open_as(credentials: &Credentials, timeout: Duration) -> Result<Self, CtlError> {
        let tls = client::tls(credentials, Arc::new(SystemClock))?;
        let server_name = credentials.cluster_id.server_name();
        let (channel, endpoint) = dial(&credentials.endpoints, &tls, &server_name, timeout).await?;
        let origin = Origin {
            context: None,
            cluster: Some(credentials.cluster_name.clone()),
            address: endpoint.to_string(),
            endpoint: Some(endpoint),
        };
        Ok(Self { channel, origin, timeout })
    }

    /// Dials `endpoint` with nothing but an invitation, which tells the right controller by its fingerprint.
    pub(crate) async fn open_to_enrol(endpoint: &Endpoint, token: &Token, timeout: Duration) -> Result<Self, CtlError> {
        let tls = client::enrolment_tls(token.ca_fingerprint, Arc::new(SystemClock))?;
        // The cluster is not known yet; what is verified is the fingerprint, not this name.
        let (channel, endpoint) = dial(std::slice::from_ref(endpoint), &tls, "controller.internal", timeout).await?;
        let origin = Origin { context: None, cluster: None, address: endpoint.to_string(), endpoint: Some(endpoint) };
        Ok(Self { channel, origin, timeout })
    }

    async fn open_socket(path: &Path, timeout: Duration) -> Result<Self, CtlError> {
        let stream = tokio::time::timeout(timeout, UnixStream::connect(path))
            .await
            .map_err(|_| failure::silent(&path.display().to_string(), timeout))?
            .map_err(|error| failure::socket(path, &error))?;
        let mut once = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let taken = once.take().ok_or_else(|| io::Error::other("the connection has ended"));
            std::future::ready(taken)
        });
        let channel = tonic::transport::Endpoint::from_static("http://controller.internal")
            .connect_with_connector(connector)
            .await
            .map_err(|error| failure::set_up(&path.display().to_string(), &error))?;
        let address = path.display().to_string();
        Ok(Self { channel, origin: Origin { context: None, cluster: None, endpoint: None, address }, timeout })
    }

    /// The nodes.
    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel.clone())
    }

    /// The supply, outages, shutdowns.
    pub(crate) fn power(&self) -> PowerClient<Channel> {
        PowerClient::new(self.channel.clone())
    }

    /// Jobs, runs and archives of backups.
    pub(crate) fn backups(&self) -> BackupsClient<Channel> {
        BackupsClient::new(self.channel.clone())
    }

    /// What an admin must know.
    pub(crate) fn alerts(&self) -> AlertsClient<Channel> {
        AlertsClient::new(self.channel.clone())
    }

    /// What has happened.
    pub(crate) fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone())
    }

    /// K3s on the nodes.
    pub(crate) fn k3s(&self) -> K3sClient<Channel> {
        K3sClient::new(self.channel.clone())
    }

    /// The K3s cluster that is made of the nodes.
    pub(crate) fn k3s_cluster(&self) -> K3sClusterClient<Channel> {
        K3sClusterClient::new(self.channel.clone())
    }

    /// What runs in the K3s cluster.
    pub(crate) fn workloads(&self) -> K3sWorkloadsClient<Channel> {
        K3sWorkloadsClient::new(self.channel.clone())
    }

    /// What nodes have written down of themselves.
    pub(crate) fn logs(&self) -> LogsClient<Channel> {
        LogsClient::new(self.channel.clone())
    }

    /// Users and the audit log.
    pub(crate) fn access(&self) -> AccessClient<Channel> {
        AccessClient::new(self.channel.clone())
    }

    /// Certificates.
    pub(crate) fn enrolment(&self) -> EnrolmentClient<Channel> {
        EnrolmentClient::new(self.channel.clone())
    }

    /// Waits for an answer, bounded, and makes what goes wrong readable.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, CtlError> {
        match tokio::time::timeout(self.timeout, call).await {
            Err(_) => Err(failure::silent(&self.origin.address, self.timeout)),
            Ok(Err(status)) => Err(self.refused(&status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// Waits for the next message of a stream that ends by itself, bounded.
    pub(crate) async fn answer_of_stream<T>(&self, stream: &mut tonic::Streaming<T>) -> Result<Option<T>, CtlError> {
        match tokio::time::timeout(self.timeout, stream.message()).await {
            Err(_) => Err(failure::silent(&self.origin.address, self.timeout)),
            Ok(Err(status)) => Err(self.refused(&status)),
            Ok(Ok(message)) => Ok(message),
        }
    }

    /// Why a call or a stream of this connection ended badly.
    pub(crate) fn refused(&self, status: &tonic::Status) -> CtlError {
        failure::of_call(&self.origin.address, status)
    }
}

async fn dial(
    endpoints: &[Endpoint],
    tls: &Arc<ClientConfig>,
    server_name: &str,
    timeout: Duration,
) -> Result<(Channel, Endpoint), CtlError> {
    let mut failures = Vec::new();
    match tokio::time::timeout(timeout, dial_in_turn(endpoints, tls, server_name, &mut failures)).await {
        Ok(Some(reached)) => Ok(reached),
        Ok(None) => Err(failure::of_dialling(endpoints, &failures, None)),
        Err(_) => Err(failure::of_dialling(endpoints, &failures, Some(timeout))),
    }
}

/// Tries the endpoints in their order, each as soon as the one before has failed or had its head start; the first that
/// answers wins.
async fn dial_in_turn(
    endpoints: &[Endpoint],
    tls: &Arc<ClientConfig>,
    server_name: &str,
    failures: &mut Vec<DialError>,
) -> Option<(Channel, Endpoint)> {
    let mut untried = endpoints.iter();
    let mut dials = FuturesUnordered::new();
    loop {
        if let Some(endpoint) = untried.next() {
            dials.push(reach(endpoint, tls, server_name));
        }
        tokio::select! {
            reached = dials.next() => match reached {
                Some(Ok(reached)) => return Some(reached),
                Some(Err(error)) => failures.push(error),
                None => return None,
            },
            () = tokio::time::sleep(HEAD_START), if untried.len() > 0 => {}
        }
    }
}

async fn reach(
    endpoint: &Endpoint,
    tls: &Arc<ClientConfig>,
    server_name: &str,
) -> Result<(Channel, Endpoint), DialError> {
    let stream = client::dial(endpoint, tls, server_name).await?;
    match client::channel(stream).await {
        Ok(channel) => Ok((channel, endpoint.clone())),
        Err(error) => Err(DialError::Unreachable { endpoint: endpoint.clone(), source: io::Error::other(error) }),
    }
}
