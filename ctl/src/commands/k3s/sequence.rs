use rackhaven_proto::v1::K3sSequence;
use serde::Serialize;

use super::progress::StepReport;
use crate::error::CtlError;
use crate::text::Text;
use crate::units::short_duration;

/// Something that is done with the cluster node by node; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct SequenceReport {
    what: Text,
    age_seconds: f64,
    node: Option<Text>,
    step: Option<StepReport>,
}

impl SequenceReport {
    /// From the controller's message.
    pub(super) fn new(wire: K3sSequence) -> Result<Self, CtlError> {
        let step = wire.step.map(StepReport::new).transpose();
        Ok(Self {
            what: Text::new(&wire.what),
            age_seconds: wire.age_ms as f64 / 1000.0,
            node: Text::given(&wire.node),
            step: step.map_err(|invalid| CtlError::strange_answer(&invalid))?,
        })
    }

    /// What it does, since when, and how far it is.
    pub(super) fn line(&self) -> String {
        let far = self.step.as_ref().map(|step| {
            let what = step.what();
            let told = if what.is_empty() { what } else { format!(": {what}") };
            let node = self.node.as_ref().map_or("", Text::as_str);
            format!("; {node}: {}: {}{told}", step.name, step.state)
        });
        format!("{}, for {}{}", self.what, short_duration(self.age_seconds as u64), far.unwrap_or_default())
    }
}
