//! The services of the contract. Each converts, asks the cores, performs, converts back.

mod access;
mod alerts;
mod backups;
mod enrolment;
mod events;
mod fleet;
mod k3s;
mod k3s_cluster;
mod k3s_nodes;
mod k3s_orders;
mod logs;
mod node_command;
mod past;
mod power;
mod session_backups;
mod sessions;
mod summary;
mod workloads;

use std::pin::Pin;
use std::sync::Arc;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::access_server::AccessServer;
use rackhaven_proto::v1::alerts_server::AlertsServer;
use rackhaven_proto::v1::backups_server::BackupsServer;
use rackhaven_proto::v1::enrolment_server::EnrolmentServer;
use rackhaven_proto::v1::events_server::EventsServer;
use rackhaven_proto::v1::fleet_server::FleetServer;
use rackhaven_proto::v1::k3s_cluster_server::K3sClusterServer;
use rackhaven_proto::v1::k3s_nodes_server::K3sNodesServer;
use rackhaven_proto::v1::k3s_server::K3sServer;
use rackhaven_proto::v1::k3s_workloads_server::K3sWorkloadsServer;
use rackhaven_proto::v1::logs_server::LogsServer;
use rackhaven_proto::v1::power_server::PowerServer;
use rackhaven_proto::v1::sessions_server::SessionsServer;
use tokio_stream::Stream;
use tonic::Status;
use tonic::service::Routes;

use crate::core::Core;
use crate::store::StoreError;

/// Longest message of an agent, bytes. A sample of a large machine has some 10 KiB, the report of a backup with two
/// thousand archives some 300 KiB.
const AGENT_MESSAGE_BYTES: usize = 1024 * 1024;
/// Longest message of a user, bytes.
const USER_MESSAGE_BYTES: usize = 64 * 1024;

/// Longest message with a piece of a file, bytes.
const ARTIFACT_MESSAGE_BYTES: usize = 256 * 1024;

/// Longest message of a user about backups, bytes: it holds whole jobs.
const BACKUP_MESSAGE_BYTES: usize = 512 * 1024;

/// Longest message of a user with objects of the cluster, bytes.
const WORKLOAD_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All services over one core.
pub fn routes(core: &Arc<Core>) -> Routes {
    let sessions = SessionsServer::new(sessions::SessionService::new(Arc::clone(core)))
        .max_decoding_message_size(AGENT_MESSAGE_BYTES);
    let enrolment = EnrolmentServer::new(enrolment::EnrolmentService::new(Arc::clone(core)))
        .max_decoding_message_size(USER_MESSAGE_BYTES);
    let fleet =
        FleetServer::new(fleet::FleetService::new(Arc::clone(core))).max_decoding_message_size(USER_MESSAGE_BYTES);
    let events =
        EventsServer::new(events::EventService::new(Arc::clone(core))).max_decoding_message_size(USER_MESSAGE_BYTES);
    let access =
        AccessServer::new(access::AccessService::new(Arc::clone(core))).max_decoding_message_size(USER_MESSAGE_BYTES);
    let power =
        PowerServer::new(power::PowerService::new(Arc::clone(core))).max_decoding_message_size(USER_MESSAGE_BYTES);
    let backups = BackupsServer::new(backups::BackupService::new(Arc::clone(core)))
        .max_decoding_message_size(BACKUP_MESSAGE_BYTES);
    let alerts =
        AlertsServer::new(alerts::AlertService::new(Arc::clone(core))).max_decoding_message_size(USER_MESSAGE_BYTES);
    let logs = LogsServer::new(logs::LogService::new(Arc::clone(core))).max_decoding_message_size(AGENT_MESSAGE_BYTES);
    let k3s = K3sServer::new(k3s::K3sService::new(Arc::clone(core))).max_decoding_message_size(ARTIFACT_MESSAGE_BYTES);
    let k3s_cluster = K3sClusterServer::new(k3s_cluster::K3sClusterService::new(Arc::clone(core)))
        .max_decoding_message_size(USER_MESSAGE_BYTES);
    let k3s_orders = K3sNodesServer::new(k3s_orders::K3sOrderService::new(Arc::clone(core)))
        .max_decoding_message_size(AGENT_MESSAGE_BYTES);
    let workloads = K3sWorkloadsServer::new(workloads::WorkloadService::new(Arc::clone(core)))
        .max_decoding_message_size(WORKLOAD_MESSAGE_BYTES);
    Routes::new(sessions)
        .add_service(enrolment)
        .add_service(fleet)
        .add_service(events)
        .add_service(access)
        .add_service(power)
        .add_service(backups)
        .add_service(alerts)
        .add_service(logs)
        .add_service(k3s)
        .add_service(k3s_cluster)
        .add_service(k3s_orders)
        .add_service(workloads)
}

pub use sessions::settings;
pub(crate) use summary::{verdict_line, whole};

/// The name of a node that there is.
fn existing(core: &Core, name: &str) -> Result<NodeName, Status> {
    let name: NodeName = name.parse().map_err(bad_input)?;
    if core.registry.contains(name.as_str()) {
        Ok(name)
    } else {
        Err(Status::not_found(format!("there is no node {name}")))
    }
}

/// Bad input, as the caller is told.
fn bad_input(invalid: Invalid) -> Status {
    Status::invalid_argument(invalid.to_string())
}

/// A store that did not do its work, as the caller is told.
fn store_failed(error: StoreError) -> Status {
    tracing::error!(%error, "the store failed");
    Status::internal(format!("the controller could not use its store: {error}"))
}
