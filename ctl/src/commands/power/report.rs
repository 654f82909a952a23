use rackhaven_proto::Invalid;
use rackhaven_proto::model::Supply;
use rackhaven_proto::v1::{self, PowerStatus};
use serde::Serialize;

use super::outage::OutageReport;
use super::ups::UpsReport;
use crate::output::as_word;
use crate::text::Text;
use crate::times::rfc3339;

/// What `ctl power status` tells, and `ctl status` under `power`; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PowerReport {
    pub(super) time: Option<String>,
    #[serde(skip)]
    pub(super) wall_unix_ms: i64,
    #[serde(serialize_with = "as_word")]
    pub(crate) supply: Supply,
    pub(crate) phase: Phase,
    pub(super) supply_for_seconds: f64,
    pub(super) runtime_left_seconds: Option<f64>,
    pub(super) begins_in_seconds: Option<f64>,
    pub(super) critical_path_seconds: f64,
    pub(super) margin_seconds: f64,
    pub(crate) upses: Vec<UpsReport>,
    pub(crate) outage: Option<OutageReport>,
    pub(super) witnesses: Vec<WitnessReport>,
    pub(super) warnings: Vec<Text>,
}

/// How far the way down and up again is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// No UPS is configured.
    None,
    /// On mains.
    Normal,
    /// Waiting for mains, or for the shutdown.
    OnBattery,
    /// Nodes go down.
    ShuttingDown,
    /// Mains is back; nodes come back.
    Restoring,
}

/// A device off the UPS whose answers prove mains.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WitnessReport {
    pub(super) address: Text,
    pub(super) answering: bool,
    pub(super) heard_seconds_ago: Option<f64>,
}

impl PowerReport {
    /// From the controller's answer.
    pub(crate) fn new(status: PowerStatus) -> Result<Self, Invalid> {
        Ok(Self {
            time: rfc3339(status.wall_unix_ms),
            wall_unix_ms: status.wall_unix_ms,
            supply: supply(status.supply)?,
            phase: phase(status.phase)?,
            supply_for_seconds: seconds(status.supply_for_ms),
            runtime_left_seconds: status.runtime_left_ms.map(seconds),
            begins_in_seconds: status.begins_in_ms.map(seconds),
            critical_path_seconds: seconds(status.critical_path_ms),
            margin_seconds: seconds(status.margin_ms),
            upses: status.upses.into_iter().map(UpsReport::new).collect::<Result<_, _>>()?,
            outage: status.outage.map(OutageReport::new).transpose()?,
            witnesses: status.witnesses.iter().map(WitnessReport::new).collect(),
            warnings: status.warnings.iter().map(|warning| Text::new(warning)).collect(),
        })
    }

    /// The same report, looked at `elapsed` seconds later.
    pub(crate) fn aged(&self, elapsed: f64) -> Self {
        let left = |seconds: f64| (seconds - elapsed).max(0.0);
        let on_battery = self.supply != Supply::Mains;
        let mut aged = self.clone();
        aged.wall_unix_ms = aged.wall_unix_ms.saturating_add((elapsed * 1000.0) as i64);
        aged.supply_for_seconds += elapsed;
        aged.runtime_left_seconds =
            aged.runtime_left_seconds.map(|seconds| if on_battery { left(seconds) } else { seconds });
        aged.begins_in_seconds = aged.begins_in_seconds.map(left);
        for ups in &mut aged.upses {
            ups.reading_age_seconds = ups.reading_age_seconds.map(|age| age + elapsed);
        }
        for witness in &mut aged.witnesses {
            witness.heard_seconds_ago = witness.heard_seconds_ago.map(|age| age + elapsed);
        }
        aged
    }

    /// What a reader of lines is told anew when it changes: no figures that change each second.
    pub(super) fn change(&self) -> String {
        let upses: Vec<_> = self.upses.iter().map(|ups| (&ups.status, &ups.problem)).collect();
        let nodes = self
            .outage
            .as_ref()
            .map(|outage| outage.nodes.iter().map(|node| (&node.name, &node.state)).collect::<Vec<_>>());
        format!("{:?} {:?} {upses:?} {nodes:?}", self.phase, self.supply)
    }

    /// How long the outage that goes on has gone on, milliseconds; by the controller's clock, and never less than its
    /// newest event.
    pub(super) fn outage_age_ms(&self, outage: &OutageReport) -> u64 {
        let by_clock = u64::try_from(self.wall_unix_ms.saturating_sub(outage.begun_unix_ms)).unwrap_or(0);
        by_clock.max(outage.last_ms())
    }
}

impl WitnessReport {
    fn new(witness: &v1::WitnessStatus) -> Self {
        Self {
            address: Text::new(&witness.address),
            answering: witness.answering,
            heard_seconds_ago: witness.heard_ms_ago.map(seconds),
        }
    }
}

/// Milliseconds of the wire as seconds of a report.
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// A supply by its number on the wire.
pub(super) fn supply(number: i32) -> Result<Supply, Invalid> {
    v1::Supply::try_from(number).map_err(|_| Invalid::new("supply", format!("{number} is not known")))?.try_into()
}

fn phase(number: i32) -> Result<Phase, Invalid> {
    match v1::PowerPhase::try_from(number) {
        Ok(v1::PowerPhase::None) => Ok(Phase::None),
        Ok(v1::PowerPhase::Normal) => Ok(Phase::Normal),
        Ok(v1::PowerPhase::OnBattery) => Ok(Phase::OnBattery),
        Ok(v1::PowerPhase::ShuttingDown) => Ok(Phase::ShuttingDown),
        Ok(v1::PowerPhase::Restoring) => Ok(Phase::Restoring),
        Ok(v1::PowerPhase::Unspecified) | Err(_) => Err(Invalid::new("phase", format!("{number} is not known"))),
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::{self, PowerStatus, UpsStatus};

    use super::PowerReport;

    #[test]
    fn a_report_ages() {
        let status = |supply: v1::Supply| PowerStatus {
            phase: v1::PowerPhase::OnBattery.into(),
            supply: supply.into(),
            supply_for_ms: 10_000,
            runtime_left_ms: Some(60_000),
            begins_in_ms: Some(2_000),
            upses: vec![UpsStatus { supply: supply.into(), reading_age_ms: Some(500), ..UpsStatus::default() }],
            wall_unix_ms: 1_000,
            ..PowerStatus::default()
        };
        let aged = |supply| PowerReport::new(status(supply)).unwrap().aged(3.0);
        let report = aged(v1::Supply::Battery);
        assert_eq!((report.supply_for_seconds, report.wall_unix_ms), (13.0, 4_000));
        assert_eq!((report.runtime_left_seconds, report.begins_in_seconds), (Some(57.0), Some(0.0)));
        assert_eq!(report.upses[0].reading_age_seconds, Some(3.5));
        assert_eq!(aged(v1::Supply::Mains).runtime_left_seconds, Some(60.0));
    }
}
