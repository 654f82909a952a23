//! What the driver listens to: UPSes and witnesses of mains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Input;
use super::config::PowerConfig;
use super::core::supply::{CutDelay, Observation};
use crate::nut::{self, UpsReading, UpsReport};
use crate::witness::{self, WitnessIndex, WitnessReport};

/// Reports of UPSes that wait.
const REPORTS: usize = 64;
/// A witness is silent after so many probes without an answer.
const SILENT_PROBES: u32 = 2;

/// What matters of a reading to the core.
pub(super) fn observation(reading: &UpsReading) -> Observation {
    let has = |word: &str| reading.status.has(word);
    Observation {
        on_line: has("OL") || has("BYPASS"),
        on_battery: has("OB"),
        low: has("LB"),
        forced: has("FSD"),
        calibrating: has("CAL"),
        testing: reading.testing,
        charge_percent: reading.charge_percent,
        charge_low_percent: reading.charge_low_percent,
        runtime_ms: reading.runtime_s.map(|seconds| u64::from(seconds) * 1000),
        cut: reading.cut.as_ref().map(|cut| CutDelay { delay_s: cut.delay_s, settable: cut.delay_settable }),
    }
}

/// Begins to look at the witnesses of mains, at the pace that is set.
pub(super) fn watch_witnesses(config: &PowerConfig, pace: &watch::Receiver<Duration>, inputs: &mpsc::Sender<Input>) {
    let (reports, mut queue) = mpsc::channel::<(WitnessIndex, WitnessReport)>(REPORTS);
    for (index, address) in config.witnesses.iter().enumerate() {
        tokio::spawn(witness::watch(WitnessIndex(index), address.clone(), pace.clone(), reports.clone()));
    }
    let inputs = inputs.clone();
    tokio::spawn(async move {
        while let Some((WitnessIndex(index), report)) = queue.recv().await {
            // A single lost packet is no silence.
            let answering = report.misses < SILENT_PROBES;
            if inputs.send(Input::Witness(index, answering, report.answering)).await.is_err() {
                return;
            }
        }
    });
}

/// Begins to read the UPSes, at the pace that is set.
pub(super) fn watch_upses(config: &PowerConfig, pace: &watch::Receiver<Duration>, inputs: &mpsc::Sender<Input>) {
    let (reports, mut queue) = mpsc::channel::<(nut::UpsIndex, UpsReport)>(REPORTS);
    for (index, ups) in config.upses.iter().enumerate() {
        let watching = nut::watch(nut::UpsIndex(index), Arc::new(ups.clone()), pace.clone(), reports.clone());
        tokio::spawn(watching);
    }
    let inputs = inputs.clone();
    tokio::spawn(async move {
        while let Some((index, report)) = queue.recv().await {
            if inputs.send(Input::Report(index, report)).await.is_err() {
                return;
            }
        }
    });
}
