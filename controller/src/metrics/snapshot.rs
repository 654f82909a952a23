//! All that the metrics are made of, at one moment.

use std::collections::{BTreeMap, BTreeSet};

use rackhaven_proto::model::{ClusterId, NodeState, Severity, Verdict};
use rackhaven_proto::v1;

use crate::alerts::rules::Rule;
use crate::fleet::NodeView;
use crate::k3s::nodes::Seen;

/// What is known now. Moments named `_unix_ms` are milliseconds since 1970-01-01 UTC.
#[derive(Debug)]
pub struct Snapshot {
    /// Now.
    pub wall_unix_ms: i64,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The verdict of the status.
    pub verdict: Verdict,
    /// The nodes, by name.
    pub nodes: Vec<NodeFigures>,
    /// K3s, as its API tells of it.
    pub k3s: Seen,
    /// The supply; none without a UPS and without an outage.
    pub power: Option<v1::PowerStatus>,
    /// The backup jobs, by node and name.
    pub backups: Vec<v1::NodeBackupJob>,
    /// How many alerts fire, by rule and severity.
    pub alerts: BTreeMap<(Rule, Severity), u64>,
    /// How many messages wait for each channel; none if the store does not tell.
    pub outbox: Option<BTreeMap<String, u64>>,
    /// The controller itself.
    pub controller: ControllerFigures,
}

/// A node.
#[derive(Debug)]
pub struct NodeFigures {
    /// What is known of it.
    pub view: NodeView,
    /// When its certificate ends.
    pub certificate_ends_unix_ms: Option<i64>,
    /// What was measured on it, if that is so now.
    pub sample: Option<v1::Sample>,
}

/// The controller itself; what cannot be found out is absent.
#[derive(Debug, Clone, Default)]
pub struct ControllerFigures {
    /// Open connections.
    pub connections: u64,
    /// When its certificate ends.
    pub certificate_ends_unix_ms: i64,
    /// Size of the file system of its state and what can still be written there, bytes.
    pub disk: Option<(u64, u64)>,
    /// Its databases and their sizes, bytes.
    pub databases: Vec<(&'static str, u64)>,
    /// CPU time used, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// As many as it may have.
    pub max_fds: Option<u64>,
    /// When it started.
    pub started_unix_ms: i64,
}

impl NodeFigures {
    /// A node. Its last sample counts while it is heard, and if it is not older than `fresh_ms`.
    pub fn new(view: NodeView, certificate_ends_unix_ms: Option<i64>, fresh_ms: u64) -> Self {
        let fresh = is_up(view.state) && view.sample_age_ms.is_some_and(|age| age <= fresh_ms);
        let sample = view.reading.as_deref().filter(|_| fresh).and_then(crate::fleet::Reading::sample);
        Self { certificate_ends_unix_ms, sample: sample.map(distinct), view }
    }

    /// Whether it is heard.
    pub fn is_up(&self) -> bool {
        is_up(self.view.state)
    }
}

fn is_up(state: NodeState) -> bool {
    matches!(state, NodeState::Up | NodeState::Suspect)
}

/// A sample in which each part has a name of its own: two series of the same labels spoil the whole answer.
fn distinct(mut sample: v1::Sample) -> v1::Sample {
    fn by<T>(parts: &mut Vec<T>, name: impl Fn(&T) -> &str) {
        let mut seen = BTreeSet::new();
        parts.retain(|part| seen.insert(name(part).to_owned()));
    }
    by(&mut sample.file_systems, |fs| &fs.mount_point);
    by(&mut sample.disks, |disk| &disk.name);
    by(&mut sample.networks, |network| &network.name);
    by(&mut sample.temperatures, |temperature| &temperature.sensor);
    by(&mut sample.storage, |storage| &storage.device);
    sample
}
