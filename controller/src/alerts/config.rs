use std::collections::BTreeMap;

use rackhaven_proto::Invalid;
use serde::Deserialize;

use super::channel::Channel;
use super::channel::config::{RawChannel, channels};
use super::deadman::{Deadman, RawDeadman};
use super::rules::{Rule, Rules};
use crate::power::config::selector;

/// The checked `[alerts]` table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertsConfig {
    /// What counts as wrong, and how often it is told.
    pub rules: Rules,
    /// Through what it is told.
    pub channels: Vec<Channel>,
    /// Who notices that the controller is gone.
    pub deadman: Option<Deadman>,
}

/// The table's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAlerts {
    group_seconds: Option<f64>,
    repeat_warning_hours: Option<f64>,
    repeat_critical_hours: Option<f64>,
    #[serde(default)]
    rule: BTreeMap<String, RawRule>,
    #[serde(default)]
    channel: Vec<RawChannel>,
    #[serde(default)]
    deadman: RawDeadman,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    enabled: Option<bool>,
    warning: Option<f64>,
    critical: Option<f64>,
    severity: Option<String>,
    for_seconds: Option<f64>,
    resolve_seconds: Option<f64>,
    nodes: Option<Vec<String>>,
}

/// A number within bounds.
fn within(key: String, value: f64, least: f64, most: f64) -> Result<f64, Invalid> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Invalid::new(key, format!("{value} is not between {least} and {most}")))
}

/// A time in another unit, as milliseconds.
fn ms(key: String, value: Option<f64>, unit_ms: f64, (least, most): (f64, f64)) -> Result<Option<u64>, Invalid> {
    value.map(|value| Ok((within(key, value, least, most)? * unit_ms).round() as u64)).transpose()
}

impl TryFrom<RawAlerts> for AlertsConfig {
    type Error = Invalid;

    fn try_from(raw: RawAlerts) -> Result<Self, Invalid> {
        const HOUR_MS: f64 = 3_600_000.0;
        /// A minute to thirty days.
        const REPEAT_HOURS: (f64, f64) = (1.0 / 60.0, 720.0);
        let mut rules = Rules::default();
        for (field, key, value, unit_ms, bounds) in [
            (&mut rules.group_ms, "group_seconds", raw.group_seconds, 1000.0, (0.0, 300.0)),
            (&mut rules.repeat_warning_ms, "repeat_warning_hours", raw.repeat_warning_hours, HOUR_MS, REPEAT_HOURS),
            (&mut rules.repeat_critical_ms, "repeat_critical_hours", raw.repeat_critical_hours, HOUR_MS, REPEAT_HOURS),
        ] {
            *field = ms(format!("alerts.{key}"), value, unit_ms, bounds)?.unwrap_or(*field);
        }
        for (name, raw) in raw.rule {
            let named = |invalid: Invalid| Invalid::new("alerts.rule", invalid.reason);
            set(&mut rules, name.parse().map_err(named)?, raw)?;
        }
        Ok(Self { rules, channels: channels(raw.channel)?, deadman: raw.deadman.check()? })
    }
}

fn set(rules: &mut Rules, rule: Rule, raw: RawRule) -> Result<(), Invalid> {
    const DAY_S: f64 = 86_400.0;
    let key = |key: &str| format!("alerts.rule.{rule}.{key}");
    let setting = rules.get_mut(rule);
    setting.enabled = raw.enabled.unwrap_or(setting.enabled);
    let has_value = setting.warning.or(setting.critical).is_some();
    for (field, name, value) in
        [(&mut setting.warning, "warning", raw.warning), (&mut setting.critical, "critical", raw.critical)]
    {
        match value {
            Some(_) if !has_value => return Err(Invalid::new(key(name), "this rule has no value, but a severity")),
            Some(value) => *field = Some(within(key(name), value, 0.0, 1e9)?),
            None => {}
        }
    }
    if let Some((warning, critical)) = setting.warning.zip(setting.critical) {
        let side = if rule.shipped().less_is_worse { "below" } else { "above" };
        if (side == "above" && warning > critical) || (side == "below" && warning < critical) {
            return Err(Invalid::new(key("warning"), format!("{warning} is {side} critical, {critical}")));
        }
    }
    match raw.severity {
        Some(_) if has_value => return Err(Invalid::new(key("severity"), "comes from warning and critical")),
        Some(word) => {
            setting.severity =
                word.parse().map_err(|invalid: Invalid| Invalid::new(key("severity"), invalid.reason))?;
        }
        None => {}
    }
    let bounds = (0.0, DAY_S);
    setting.for_ms = ms(key("for_seconds"), raw.for_seconds, 1000.0, bounds)?.unwrap_or(setting.for_ms);
    setting.resolve_ms = ms(key("resolve_seconds"), raw.resolve_seconds, 1000.0, bounds)?.unwrap_or(setting.resolve_ms);
    if let Some(nodes) = raw.nodes {
        setting.nodes = nodes.iter().map(|text| selector(&key("nodes"), text)).collect::<Result<_, _>>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::daemon::parse_toml;

    use super::{AlertsConfig, RawAlerts, Rule};

    fn parse(text: &str) -> Result<AlertsConfig, String> {
        parse_toml::<RawAlerts, AlertsConfig>(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    /// Everything that the shipped file shows commented out is a key, its value can be used and is the default.
    #[test]
    fn the_shipped_examples_are_the_defaults() {
        let shipped = include_str!("../../../packaging/controller.toml");
        let (_, alerts) = shipped.split_once("\n[alerts]\n").unwrap();
        let (alerts, _) = alerts.split_once("\n[power]\n").unwrap();
        let (general, rule) = alerts.split_once("#[alerts.rule.").unwrap();
        let keys = |text: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix('#').filter(|code| !code.starts_with(' ')));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        assert_eq!(parse(&keys(general)), parse(""));
        let (_, rule) = rule.split_once('\n').unwrap();
        let (rule, channel) = rule.split_once("#[[alerts.channel]]\n").unwrap();
        let mut config = parse(&format!("[rule.disk-full]\n{}", keys(rule))).unwrap();
        assert_eq!(config.rules.get(Rule::DiskFull).nodes.len(), 1);
        config.rules.get_mut(Rule::DiskFull).nodes.clear();
        assert_eq!(config, AlertsConfig::default());
        let (channel, deadman) = channel.split_once("#[alerts.deadman]\n").unwrap();
        let told = parse(&format!("[[channel]]\n{}[deadman]\n{}", keys(channel), keys(deadman))).unwrap();
        assert_eq!((told.channels.len(), told.deadman.is_some(), told.rules), (1, true, config.rules));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("group_seconds = 301", "alerts.group_seconds: 301 is not between 0 and 300"),
            ("[rule.disk-ful]", "alerts.rule: there is no rule \"disk-ful\""),
            ("[rule.disk-full]\nwarning = 98", "alerts.rule.disk-full.warning: 98 is above critical, 97"),
            ("[rule.disk-full-soon]\nwarning = 3", "alerts.rule.disk-full-soon.warning: 3 is below critical, 4"),
            ("[rule.disk-full]\nseverity = 'info'", "alerts.rule.disk-full.severity: comes from warning and critical"),
            ("[rule.node-down]\nwarning = 1", "alerts.rule.node-down.warning: this rule has no value, but a severity"),
            (
                "[rule.node-down]\nseverity = 'bad'",
                "alerts.rule.node-down.severity: \"bad\" is none of info, warning, critical",
            ),
            ("[rule.node-down]\nfor_seconds = -1", "alerts.rule.node-down.for_seconds: -1 is not between 0 and 86400"),
        ] {
            assert_eq!(parse(text), Err(format!("c.toml: {message}")), "{text}");
        }
    }
}
