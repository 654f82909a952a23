use rackhaven_proto::Invalid;
use rackhaven_proto::v1::last_run::Ending;
use rackhaven_proto::v1::{LastRun, NodeDetail, NodeFacts, Point};
use serde::Serialize;

use super::super::summary::{NodeReport, finite};
use super::sample::SampleReport;
use crate::text::Text;
use crate::times::{rfc3339, rfc3339_given};

/// What `ctl node show` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct NodeDetailReport {
    #[serde(flatten)]
    pub(super) summary: NodeReport,
    pub(super) facts: Option<FactsReport>,
    pub(super) enrolled: Option<String>,
    pub(super) certificate_serial: Option<Text>,
    pub(super) peer_address: Option<Text>,
    pub(super) last_run: Option<LastRunReport>,
    pub(super) sample_age_seconds: Option<f64>,
    pub(super) sample: Option<SampleReport>,
    pub(super) recent: Vec<PointReport>,
    pub(super) minutes: Vec<PointReport>,
}

/// What does not change while a node runs.
#[derive(Debug, Serialize)]
pub(super) struct FactsReport {
    pub(super) hostname: Text,
    pub(super) os: Option<Text>,
    pub(super) kernel: Option<Text>,
    pub(super) model: Option<Text>,
    pub(super) cpu_count: u32,
    pub(super) memory_total_bytes: u64,
    pub(super) boot_id: Text,
}

/// How the agent's run before this one ended.
#[derive(Debug, Serialize)]
pub(super) struct LastRunReport {
    pub(super) ending: &'static str,
    pub(super) boot_id: Text,
    pub(super) reason: Option<Text>,
}

/// A few figures of one moment.
#[derive(Debug, Serialize)]
pub(super) struct PointReport {
    pub(super) time: Option<String>,
    pub(super) cpu_percent: Option<f32>,
    pub(super) memory_used_percent: Option<f32>,
    pub(super) temperature_celsius: Option<f32>,
    pub(super) load_one: Option<f32>,
    pub(super) disk_used_percent: Option<f32>,
}

impl NodeDetailReport {
    /// From the controller's answer.
    pub(super) fn new(detail: NodeDetail) -> Result<Self, Invalid> {
        let summary = detail.summary.ok_or_else(|| Invalid::new("summary", "is missing"))?;
        let points = |points: Vec<Point>| points.into_iter().map(PointReport::new).collect();
        Ok(Self {
            summary: NodeReport::new(summary)?,
            facts: detail.facts.map(FactsReport::new),
            enrolled: rfc3339_given(detail.enrolled_unix_ms),
            certificate_serial: Text::given(&detail.certificate_serial),
            peer_address: Text::given(&detail.peer_address),
            last_run: detail.last_run.map(LastRunReport::new).transpose()?,
            sample_age_seconds: detail.sample_age_ms.map(|ms| ms as f64 / 1000.0),
            sample: detail.sample.map(SampleReport::new),
            recent: points(detail.recent),
            minutes: points(detail.minutes),
        })
    }
}

impl FactsReport {
    fn new(facts: NodeFacts) -> Self {
        Self {
            hostname: Text::new(&facts.hostname),
            os: Text::given(&facts.os),
            kernel: Text::given(&facts.kernel),
            model: Text::given(&facts.model),
            cpu_count: facts.cpu_count,
            memory_total_bytes: facts.memory_total_bytes,
            boot_id: Text::new(&facts.boot_id),
        }
    }
}

impl LastRunReport {
    fn new(run: LastRun) -> Result<Self, Invalid> {
        let ending = match Ending::try_from(run.ending) {
            Ok(Ending::Clean) => "clean",
            Ok(Ending::AgentKilled) => "agent_killed",
            Ok(Ending::NodeLost) => "node_lost",
            Ok(Ending::Unspecified) | Err(_) => {
                return Err(Invalid::new("last_run.ending", format!("{} is not known", run.ending)));
            }
        };
        Ok(Self { ending, boot_id: Text::new(&run.boot_id), reason: Text::given(&run.reason) })
    }
}

impl PointReport {
    fn new(point: Point) -> Self {
        Self {
            time: rfc3339(point.wall_unix_ms),
            cpu_percent: finite(point.cpu_percent),
            memory_used_percent: finite(point.memory_used_percent),
            temperature_celsius: finite(point.temperature_celsius),
            load_one: finite(point.load_one),
            disk_used_percent: finite(point.disk_used_percent),
        }
    }
}
