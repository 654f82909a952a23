//! One UPS: what it says, in its words and in plain ones.

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Supply;
use rackhaven_proto::v1::UpsStatus;
use serde::Serialize;

use super::report::{seconds, supply};
use crate::output::as_word;
use crate::text::Text;

/// One UPS.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UpsReport {
    pub(crate) name: Text,
    pub(crate) model: Option<Text>,
    #[serde(serialize_with = "as_word")]
    pub(crate) supply: Supply,
    pub(crate) status: Option<Text>,
    pub(crate) meaning: Option<String>,
    pub(crate) reading_age_seconds: Option<f64>,
    pub(crate) problem: Option<Text>,
    pub(crate) charge_percent: Option<f32>,
    pub(crate) runtime_seconds: Option<u32>,
    pub(crate) load_percent: Option<f32>,
    pub(crate) input_volts: Option<f32>,
    pub(crate) battery_volts: Option<f32>,
    pub(crate) temperature_celsius: Option<f32>,
    pub(crate) replace_battery: bool,
    pub(crate) cut_command: Option<Text>,
    pub(crate) triggers: Vec<TriggerReport>,
}

/// What can start a shutdown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TriggerReport {
    pub(super) name: Text,
    pub(super) fed: bool,
    pub(super) detail: Text,
}

impl UpsReport {
    /// From the controller's answer.
    pub(super) fn new(ups: UpsStatus) -> Result<Self, Invalid> {
        Ok(Self {
            name: Text::new(&ups.name),
            model: Text::given(&ups.model),
            supply: supply(ups.supply)?,
            meaning: meaning(&ups.status),
            status: Text::given(&ups.status),
            reading_age_seconds: ups.reading_age_ms.map(seconds),
            problem: Text::given(&ups.problem),
            charge_percent: ups.charge_percent,
            // 0 is how a UPS that cannot tell says so.
            runtime_seconds: ups.runtime_seconds.filter(|seconds| *seconds > 0),
            load_percent: ups.load_percent,
            input_volts: ups.input_volts,
            battery_volts: ups.battery_volts,
            temperature_celsius: ups.temperature_celsius,
            replace_battery: ups.replace_battery,
            cut_command: Text::given(&ups.cut_command),
            triggers: ups
                .triggers
                .iter()
                .map(|trigger| TriggerReport {
                    name: Text::new(&trigger.name),
                    fed: trigger.fed,
                    detail: Text::new(&trigger.detail),
                })
                .collect(),
        })
    }
}

/// The words of `ups.status` in plain language, in their order; those that NUT does not document stand as they are.
fn meaning(status: &str) -> Option<String> {
    let plain = |word: &str| match word {
        "OL" => "on mains".to_owned(),
        "OB" => "on battery".to_owned(),
        "LB" => "battery low".to_owned(),
        "HB" => "battery high".to_owned(),
        "RB" => "replace the battery".to_owned(),
        "CHRG" => "charging".to_owned(),
        "DISCHRG" => "discharging".to_owned(),
        "BYPASS" => "bypassed, no protection".to_owned(),
        "CAL" => "calibrating".to_owned(),
        "OFF" => "output off".to_owned(),
        "OVER" => "overloaded".to_owned(),
        "TRIM" => "lowering the voltage".to_owned(),
        "BOOST" => "raising the voltage".to_owned(),
        "FSD" => "shutdown forced".to_owned(),
        "ALARM" => "alarm".to_owned(),
        "TEST" => "testing itself".to_owned(),
        "WAIT" => "not read yet".to_owned(),
        other => Text::new(other).to_string(),
    };
    let words: Vec<_> = status.split_whitespace().map(plain).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn words_are_explained() {
        for (status, plain) in [
            ("OL CHRG", "on mains, charging"),
            ("OB DISCHRG LB", "on battery, discharging, battery low"),
            ("OL BYPASS RB", "on mains, bypassed, no protection, replace the battery"),
            ("OB  ECO \u{1b}[2J", "on battery, ECO, \u{fffd}[2J"),
        ] {
            assert_eq!(meaning(status).as_deref(), Some(plain));
        }
        assert_eq!(meaning(" "), None);
    }
}
