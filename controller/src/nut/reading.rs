use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rackhaven_proto::model::Supply;
use serde::{Deserialize, Serialize};

use super::CutAbility;

/// Most words of a status that are kept, and how long each may be.
const MAX_WORDS: usize = 32;
const MAX_WORD_CHARS: usize = 32;
/// Longest time that is believed, seconds.
const MOST_S: f32 = 864_000.0;
/// Longest model name that is kept, characters.
const MAX_MODEL_CHARS: usize = 80;

/// The words of `ups.status`, in the order in which the UPS tells them, each once; those that nobody knows too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct UpsStatus(Vec<Box<str>>);

impl UpsStatus {
    /// Whether a word such as `OB` is among them.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|own| **own == *word)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What feeds the load. A UPS that says both is on battery: that is what may need an answer.
    pub fn supply(&self) -> Supply {
        match (self.has("OB"), self.has("OL")) {
            (true, _) => Supply::Battery,
            (false, true) => Supply::Mains,
            (false, false) => Supply::Unknown,
        }
    }
}

impl From<String> for UpsStatus {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for UpsStatus {
    fn from(text: &str) -> Self {
        let mut words: Vec<Box<str>> = Vec::new();
        for word in text.split_whitespace() {
            let word: String = word.chars().filter(|c| !c.is_control()).take(MAX_WORD_CHARS).collect();
            if words.len() < MAX_WORDS && !word.is_empty() && !words.iter().any(|own| **own == *word) {
                words.push(word.into());
            }
        }
        Self(words)
    }
}

impl From<UpsStatus> for String {
    fn from(status: UpsStatus) -> Self {
        status.to_string()
    }
}

impl fmt::Display for UpsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// What a UPS tells about itself. What it does not tell, or tells as what cannot be, is absent, never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UpsReading {
    /// `ups.status`.
    pub status: UpsStatus,
    /// `battery.charge`.
    pub charge_percent: Option<f32>,
    /// `battery.charge.low`: where the UPS itself says LB.
    pub charge_low_percent: Option<f32>,
    /// `battery.runtime`. Cheap UPSes tell 0 or nothing: absent, and not "empty".
    pub runtime_s: Option<u32>,
    /// `ups.load`.
    pub load_percent: Option<f32>,
    /// `input.voltage`.
    pub input_volts: Option<f32>,
    /// `battery.voltage`.
    pub battery_volts: Option<f32>,
    /// `ups.temperature`, or the battery's.
    pub temperature_celsius: Option<f32>,
    /// Maker and model, for a person; may be empty.
    pub model: String,
    /// Whether it tests or calibrates itself: on battery by its own will.
    pub testing: bool,
    /// How it can be told to cut the load and come back with mains; none if it cannot.
    pub cut: Option<CutAbility>,
}

impl UpsReading {
    /// From a UPS's variables, the names of its commands, and the names of its variables that can be set. None while
    /// it tells no status, or only that its driver waits for one.
    pub fn from_vars(
        vars: &BTreeMap<String, String>,
        commands: &BTreeSet<String>,
        settable: &BTreeSet<String>,
    ) -> Option<Self> {
        let status = UpsStatus::from(vars.get("ups.status")?.as_str());
        if status.is_empty() || status.has("WAIT") {
            return None;
        }
        let percent = |name| number(vars, name, 0.0, 100.0);
        let volts = |name| number(vars, name, 0.0, 1000.0);
        let celsius = |name| number(vars, name, -50.0, 150.0);
        Some(Self {
            charge_percent: percent("battery.charge"),
            charge_low_percent: percent("battery.charge.low"),
            runtime_s: seconds(vars, "battery.runtime", 1.0),
            load_percent: number(vars, "ups.load", 0.0, 500.0),
            input_volts: volts("input.voltage"),
            battery_volts: volts("battery.voltage"),
            temperature_celsius: celsius("ups.temperature").or_else(|| celsius("battery.temperature")),
            model: model(vars),
            testing: status.has("TEST") || status.has("CAL") || test_goes_on(vars),
            cut: CutAbility::find(vars, commands, settable),
            status,
        })
    }
}

/// A variable that is a number within bounds.
fn number(vars: &BTreeMap<String, String>, name: &str, least: f32, most: f32) -> Option<f32> {
    let value = vars.get(name)?.trim().parse().ok()?;
    // What is not a number compares with nothing.
    (value >= least && value <= most).then_some(value)
}

/// The same for a time, of which the parts of a second do not count.
pub(super) fn seconds(vars: &BTreeMap<String, String>, name: &str, least: f32) -> Option<u32> {
    number(vars, name, least, MOST_S).map(|seconds| seconds as u32)
}

fn test_goes_on(vars: &BTreeMap<String, String>) -> bool {
    vars.get("ups.test.result").is_some_and(|result| {
        let result = result.to_ascii_lowercase();
        result.contains("in progress") && !result.contains("no test")
    })
}

fn model(vars: &BTreeMap<String, String>) -> String {
    let part = |names: [&str; 2]| {
        let mut told = names.iter().filter_map(|name| vars.get(*name)).map(|text| text.trim());
        told.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let (maker, model) = (part(["ups.mfr", "device.mfr"]), part(["ups.model", "device.model"]));
    // Many say the maker in the model again.
    let whole = if model.starts_with(maker) { model.to_owned() } else { format!("{maker} {model}") };
    whole.trim().chars().filter(|c| !c.is_control()).take(MAX_MODEL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Option<UpsReading> {
        UpsReading::from_vars(&vars(pairs), &BTreeSet::new(), &BTreeSet::new())
    }

    #[test]
    fn a_whole_reading() {
        let vars = vars(&[
            ("ups.status", "OB DISCHRG LB"),
            ("battery.charge", "17"),
            ("battery.charge.low", "20"),
            ("battery.runtime", "214.7"),
            ("ups.load", "31.5"),
            ("input.voltage", "0.0"),
            ("battery.voltage", " 25.4 "),
            ("battery.temperature", "29.1"),
            ("ups.mfr", "EATON"),
            ("ups.model", "Ellipse PRO 650"),
            ("ups.delay.shutdown", "20"),
            ("ups.delay.start", "30"),
        ]);
        let commands = names(&["beeper.mute", "load.off", "shutdown.return", "shutdown.stayoff"]);
        let expected = UpsReading {
            status: UpsStatus::from("OB DISCHRG LB"),
            charge_percent: Some(17.0),
            charge_low_percent: Some(20.0),
            runtime_s: Some(214),
            load_percent: Some(31.5),
            input_volts: Some(0.0),
            battery_volts: Some(25.4),
            temperature_celsius: Some(29.1),
            model: "EATON Ellipse PRO 650".to_owned(),
            testing: false,
            cut: Some(CutAbility {
                command: "shutdown.return".to_owned(),
                delay_s: Some(20),
                delay_settable: true,
                start_delay_s: Some(30),
            }),
        };
        let reading = UpsReading::from_vars(&vars, &commands, &names(&["ups.delay.shutdown"])).unwrap();
        assert_eq!(reading, expected);
        let json = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<UpsReading>(&json).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_is_absent() {
        for (name, value) in [
            ("battery.charge", "4000"),
            ("battery.charge", "-1"),
            ("battery.charge", "full"),
            ("battery.charge", "NaN"),
            ("battery.charge", "inf"),
            ("battery.charge", ""),
            ("battery.runtime", "0"),
            ("battery.runtime", "0.4"),
            ("battery.runtime", "-7"),
            ("battery.runtime", "NaN"),
            ("battery.runtime", "99999999999999999999"),
            ("ups.load", "1e9"),
            ("input.voltage", "-3"),
            ("ups.temperature", "-273"),
        ] {
            let absent = read(&[("ups.status", "OL")]);
            assert_eq!(read(&[("ups.status", "OL"), (name, value)]), absent, "{name} {value}");
        }
    }

    #[test]
    fn without_a_status_there_is_no_reading() {
        for pairs in [&[][..], &[("battery.charge", "100")], &[("ups.status", "  ")], &[("ups.status", "WAIT")]] {
            assert_eq!(read(pairs), None, "{pairs:?}");
        }
    }

    #[test]
    fn what_feeds_the_load() {
        for (status, supply) in [
            ("OL", Supply::Mains),
            ("OL CHRG", Supply::Mains),
            ("FSD OL", Supply::Mains),
            ("OB", Supply::Battery),
            ("OB LB", Supply::Battery),
            ("OL OB", Supply::Battery),
            ("OFF", Supply::Unknown),
            ("BYPASS", Supply::Unknown),
            ("OBSOLETE", Supply::Unknown),
        ] {
            assert_eq!(UpsStatus::from(status).supply(), supply, "{status}");
        }
    }

    #[test]
    fn a_status_is_shown_as_told_and_bounded() {
        assert_eq!(UpsStatus::from(" OB  NEWWORD OB\tLB\u{7}").to_string(), "OB NEWWORD LB");
        let many: String = (0..1000).map(|number| format!("W{number} ")).collect();
        assert_eq!(UpsStatus::from(many.as_str()).to_string().split(' ').count(), MAX_WORDS);
    }

    #[test]
    fn tests_and_calibrations() {
        for (status, result, testing) in [
            ("OL", "", false),
            ("OB TEST", "", true),
            ("OB CAL", "", true),
            ("OB", "In progress", true),
            ("OB", "Test in progress", true),
            ("OL", "No test in progress", false),
            ("OL", "Done and passed", false),
        ] {
            let reading = read(&[("ups.status", status), ("ups.test.result", result)]).unwrap();
            assert_eq!(reading.testing, testing, "{status}, {result}");
        }
    }

    #[test]
    fn models() {
        for (maker, model, shown) in
            [("EATON", "EATON 5P", "EATON 5P"), ("", "x", "x"), ("Powercom", "", "Powercom"), ("", "", "")]
        {
            let reading = read(&[("ups.status", "OL"), ("ups.mfr", maker), ("ups.model", model)]).unwrap();
            assert_eq!(reading.model, shown);
        }
    }
}
