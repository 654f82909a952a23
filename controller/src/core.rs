//! What all services and drivers share.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rackhaven_pki::{Authority, Identity, Subject};
use rackhaven_proto::model::{ClusterId, Endpoint};
use tokio::sync::Notify;

use crate::access::{Caller, Directory};
use crate::alerts::Desk;
use crate::backup::Backups;
use crate::clock::Clock;
use crate::commands::Commands;
use crate::config::Config;
use crate::events::Events;
use crate::fleet::{Registry, Thresholds};
use crate::history::MinuteRow;
use crate::k3s::{Artifacts, OrderDesk, api, cluster, nodes};
use crate::logs::LogDesk;
use crate::net::{Connections, Denials};
use crate::power::Power;
use crate::store::{AuditEntry, History, Store};

/// The cluster's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Made once, a part of every identity.
    pub id: ClusterId,
    /// For people.
    pub name: String,
    /// Where `init` was told that this controller is reached; what the configuration says counts more.
    pub endpoints: Vec<Endpoint>,
}

/// The controller's parts, put together once by `app`.
pub struct Core {
    /// The configuration as last loaded.
    pub config: ArcSwap<Config>,
    /// The one clock.
    pub clock: Arc<Clock>,
    /// The record on the disk.
    pub store: Store,
    /// Figures of the past; none if switched off.
    pub history: Option<History>,
    /// Certificates and users.
    pub directory: Directory,
    /// The nodes.
    pub registry: Registry,
    /// What happens.
    pub events: Events,
    /// What was ordered.
    pub commands: Commands,
    /// The supply, and what follows from it.
    pub power: Power,
    /// What an admin must know.
    pub alerts: Desk,
    /// What nodes tell of their backups.
    pub backups: Backups,
    /// The files of K3s's releases.
    pub artifacts: Artifacts,
    /// Orders about K3s that nodes carry out.
    pub k3s_orders: OrderDesk,
    /// The K3s cluster that was made of the nodes.
    pub k3s_cluster: Arc<cluster::Cluster>,
    /// The API of a K3s cluster, made of the nodes or not.
    pub k3s: api::Api,
    /// Its nodes, as that API tells of them.
    pub k3s_nodes: nodes::Nodes,
    /// Who reads which node's log.
    pub logs: LogDesk,
    /// Open connections, by who holds them.
    pub connections: Connections,
    /// Refused calls, on their way into the audit log.
    pub denials: Denials,
    /// Issues certificates.
    pub authority: Authority,
    /// The cluster's names.
    pub cluster: Cluster,
    /// Rung when nodes, users or certificates have changed: the store's copy is then renewed.
    pub access_changed: Notify,
    /// When liveness was last looked at, the clock's monotonic milliseconds.
    pub swept_ms: std::sync::atomic::AtomicU64,
    /// Completed minutes that wait to be stored together.
    pub minutes: Mutex<Vec<MinuteRow>>,
    /// End of the controller's own certificate, seconds since 1970-01-01 UTC.
    pub server_certificate_ends_s: std::sync::atomic::AtomicI64,
}

impl Core {
    /// The silence after which nodes count as suspect or down, as configured now.
    pub fn thresholds(&self) -> Thresholds {
        let session = self.config.load().session;
        Thresholds::new(session.heartbeat_ms, session.suspect_after_missed, session.down_after_missed)
    }

    /// Where nodes and users reach this controller, best first, as far as anybody said.
    pub fn endpoints(&self) -> Vec<String> {
        let config = self.config.load();
        let told = if config.endpoints.is_empty() { &self.cluster.endpoints } else { &config.endpoints };
        told.iter().map(ToString::to_string).collect()
    }

    /// Keeps completed minutes until the next are stored. If the disk has refused them for long, the newest are dropped.
    pub fn add_minutes(&self, rows: impl IntoIterator<Item = MinuteRow>) {
        const MOST_WAITING: usize = 100_000;
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WAITING.saturating_sub(minutes.len());
        minutes.extend(rows.into_iter().take(room));
    }

    /// The identity of a subject in this cluster.
    pub fn identity(&self, subject: Subject) -> Identity {
        Identity { cluster: self.cluster.id.clone(), subject }
    }

    /// An entry for the audit log, now.
    pub fn audit_entry(&self, who: &Caller, origin: &str, action: &str, target: &str, outcome: &str) -> AuditEntry {
        AuditEntry {
            wall_ms: self.clock.wall_ms(),
            who: who.to_string(),
            origin: origin.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            outcome: outcome.to_owned(),
        }
    }
}
