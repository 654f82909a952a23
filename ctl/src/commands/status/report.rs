use rackhaven_proto::Invalid;
use rackhaven_proto::model::Verdict;
use rackhaven_proto::v1::{self, FleetStatus};
use serde::Serialize;

use crate::commands::alerts::AlertReport;
use crate::commands::backup::BackupsReport;
use crate::commands::k3s::K3sReport;
use crate::commands::node::NodeReport;
use crate::commands::power::PowerReport;
use crate::connection::Origin;
use crate::output::as_word;
use crate::text::Text;
use crate::times::{rfc3339, rfc3339_given};

/// What `ctl status` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StatusReport {
    pub(crate) cluster: Text,
    pub(super) cluster_id: Text,
    pub(crate) context: Option<String>,
    #[serde(serialize_with = "as_word")]
    pub(crate) verdict: Verdict,
    pub(super) reason: Text,
    pub(crate) data_age_seconds: Option<f64>,
    pub(crate) time: Option<String>,
    pub(crate) controller: ControllerReport,
    pub(crate) power: Option<PowerReport>,
    pub(crate) backups: Option<BackupsReport>,
    /// K3s; none where the controller knows none.
    pub(crate) k3s: Option<K3sReport>,
    pub(crate) alerts: Vec<AlertReport>,
    pub(crate) alerts_firing: u32,
    pub(crate) nodes: Vec<NodeReport>,
}

/// The controller itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ControllerReport {
    pub(crate) address: String,
    pub(crate) version: Text,
    pub(crate) uptime_seconds: f64,
    pub(super) certificate_expires: Option<String>,
}

impl StatusReport {
    /// From the controller's answer.
    pub(crate) fn new(status: FleetStatus, origin: &Origin) -> Result<Self, Invalid> {
        let verdict = status.verdict;
        let verdict = v1::Verdict::try_from(verdict)
            .map_err(|_| Invalid::new("verdict", format!("{verdict} is not known")))?
            .try_into()?;
        Ok(Self {
            cluster: Text::new(&status.cluster_name),
            cluster_id: Text::new(&status.cluster_id),
            context: origin.context.clone(),
            verdict,
            reason: Text::new(&status.verdict_reason),
            data_age_seconds: status.data_age_ms.map(|ms| ms as f64 / 1000.0),
            time: rfc3339(status.wall_unix_ms),
            controller: ControllerReport {
                address: origin.address.clone(),
                version: Text::new(&status.controller_version),
                uptime_seconds: status.controller_uptime_ms as f64 / 1000.0,
                certificate_expires: rfc3339_given(status.server_certificate_ends_unix_ms),
            },
            power: status.power.map(PowerReport::new).transpose()?,
            backups: status.backups.as_ref().map(BackupsReport::new),
            k3s: status.k3s.as_ref().map(K3sReport::new),
            alerts: status.alerts.iter().map(AlertReport::new).collect::<Result<_, _>>()?,
            alerts_firing: status.firing,
            nodes: status.nodes.into_iter().map(NodeReport::new).collect::<Result<_, _>>()?,
        })
    }

    /// The fleet in one word.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The nodes, worst first.
    pub(crate) fn into_nodes(self) -> Vec<NodeReport> {
        self.nodes
    }

    /// The same report, looked at `seconds` later.
    pub(super) fn aged(&self, seconds: f64) -> Self {
        Self {
            data_age_seconds: self.data_age_seconds.map(|age| age + seconds),
            power: self.power.as_ref().map(|power| power.aged(seconds)),
            ..self.clone()
        }
    }
}
