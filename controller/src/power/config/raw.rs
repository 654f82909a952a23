use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::nut::TlsMode;

/// The table's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPower {
    pub(super) master: Option<String>,
    pub(super) minimum_supplies: Option<usize>,
    pub(super) hold_seconds: Option<f64>,
    pub(super) charge_percent: Option<f32>,
    pub(super) on_battery_seconds: Option<f64>,
    pub(super) assumed_runtime_seconds: Option<f64>,
    pub(super) margin_seconds: Option<f64>,
    pub(super) mains_hold_seconds: Option<f64>,
    pub(super) mains_stable_seconds: Option<f64>,
    pub(super) restore_charge_percent: Option<f32>,
    pub(super) restore_wait_seconds: Option<f64>,
    pub(super) expected_seconds: Option<f64>,
    pub(super) off_grace_seconds: Option<f64>,
    pub(super) return_wait_seconds: Option<f64>,
    pub(super) poll_seconds: Option<f64>,
    pub(super) poll_on_battery_seconds: Option<f64>,
    pub(super) cut_load: Option<bool>,
    pub(super) witnesses: Option<Vec<String>>,
    pub(super) witness_seconds: Option<f64>,
    pub(super) witness_hold_seconds: Option<f64>,
    pub(super) wake_addresses: Option<Vec<String>>,
    #[serde(default)]
    pub(super) steps: RawSteps,
    #[serde(default)]
    pub(super) wake: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) ups: Vec<RawUps>,
    #[serde(default)]
    pub(super) stage: Vec<RawStage>,
    pub(super) facade: Option<RawFacade>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSteps {
    pub(super) drain_seconds: Option<f64>,
    pub(super) stop_k3s_seconds: Option<f64>,
    pub(super) stop_backups_seconds: Option<f64>,
    pub(super) hooks_seconds: Option<f64>,
    pub(super) unmount_seconds: Option<f64>,
    pub(super) sync_seconds: Option<f64>,
    pub(super) power_off_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUps {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) login: Option<bool>,
    #[serde(default)]
    pub(super) tls: TlsMode,
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    pub(super) name: String,
    #[serde(default)]
    pub(super) nodes: Vec<String>,
    pub(super) cap_seconds: Option<f64>,
    pub(super) shed_charge_percent: Option<f32>,
    pub(super) shed_after_seconds: Option<f64>,
    pub(super) shed_runtime_seconds: Option<f64>,
    #[serde(default)]
    pub(super) needs: Vec<String>,
    pub(super) clients_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFacade {
    pub(super) listen: Vec<String>,
    pub(super) ups: Option<String>,
    #[serde(default)]
    pub(super) user: Vec<RawFacadeUser>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFacadeUser {
    pub(super) name: String,
    pub(super) password_file: PathBuf,
    pub(super) stage: Option<String>,
}
