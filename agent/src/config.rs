//! `agent.toml`: raw TOML, then a type whose values can all be used.

use std::time::Duration;

use rackhaven_proto::Invalid;
use rackhaven_proto::daemon::LogSettings;
use serde::Deserialize;

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How this machine is switched.
    pub power: PowerConfig,
    /// The log.
    pub log: LogSettings,
}

/// The `[power]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerConfig {
    /// Program and arguments that switch the machine off.
    pub poweroff_command: Vec<String>,
    /// Program and arguments that restart it.
    pub reboot_command: Vec<String>,
    /// How long either may take to answer.
    pub timeout: Duration,
}

/// The file's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    #[serde(default)]
    power: RawPower,
    #[serde(default)]
    log: LogSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPower {
    poweroff_command: Option<Vec<String>>,
    reboot_command: Option<Vec<String>>,
    timeout_seconds: Option<u32>,
}

fn command(key: &str, given: Option<Vec<String>>, verb: &str) -> Result<Vec<String>, Invalid> {
    let command = given.unwrap_or_else(|| vec!["systemctl".to_owned(), verb.to_owned()]);
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err(Invalid::new(key, "names no program")),
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Invalid;

    fn try_from(raw: RawConfig) -> Result<Self, Invalid> {
        let timeout_s = raw.power.timeout_seconds.unwrap_or(20);
        if !(1..=600).contains(&timeout_s) {
            return Err(Invalid::new("power.timeout_seconds", format!("{timeout_s} is not between 1 and 600")));
        }
        Ok(Self {
            power: PowerConfig {
                poweroff_command: command("power.poweroff_command", raw.power.poweroff_command, "poweroff")?,
                reboot_command: command("power.reboot_command", raw.power.reboot_command, "reboot")?,
                timeout: Duration::from_secs(timeout_s.into()),
            },
            log: raw.log,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::daemon::parse_toml;

    use super::{Config, RawConfig};

    fn parse(text: &str) -> Result<Config, String> {
        parse_toml::<RawConfig, Config>(text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let defaults = parse("").unwrap();
        assert_eq!(defaults.power.poweroff_command, ["systemctl", "poweroff"]);
        assert_eq!(parse(include_str!("../../packaging/agent.toml")), Ok(defaults));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            (
                "[power]\npoweroff_comand = ['x']",
                "agent.toml: line 2: unknown field `poweroff_comand`, expected one of `poweroff_command`, \
                 `reboot_command`, `timeout_seconds`; did you mean `poweroff_command`?",
            ),
            ("[power]\npoweroff_command = []", "agent.toml: power.poweroff_command: names no program"),
            ("[power]\ntimeout_seconds = 0", "agent.toml: power.timeout_seconds: 0 is not between 1 and 600"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }
}
