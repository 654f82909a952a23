//! Units, as systemd reads them, as far as ours use it. What is not known here is refused.

use anyhow::{Context, bail, ensure};

/// What a unit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) is_notify: bool,
    /// Files, and whether they may be missing.
    pub(super) environment: Vec<(String, bool)>,
    /// Commands, and whether they may fail.
    pub(super) before: Vec<(Vec<String>, bool)>,
    pub(super) start: Vec<String>,
    pub(super) restarts: bool,
    pub(super) restart_ms: u64,
    pub(super) kills_main_only: bool,
}

impl Unit {
    /// Reads one.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut unit, mut section) = (Self::default(), "");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
                continue;
            }
            let (key, value) = line.split_once('=').with_context(|| format!("Missing '=': {line}"))?;
            unit.take(section, key, value)?;
        }
        ensure!(!unit.start.is_empty(), "Service has no ExecStart= setting");
        ensure!(unit.start.first().is_some_and(|program| program.starts_with('/')), "ExecStart= is not absolute");
        Ok(unit)
    }

    fn take(&mut self, section: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let dashed = |text: &str| match text.strip_prefix('-') {
            Some(rest) => (rest.to_owned(), true),
            None => (text.to_owned(), false),
        };
        match (section, key) {
            ("Unit", "Description" | "Documentation" | "Wants" | "After") | ("Install", "WantedBy") => {}
            ("Service", "Delegate" | "LimitNOFILE" | "LimitNPROC" | "LimitCORE" | "TasksMax") => {}
            ("Service", "TimeoutStartSec") => ensure!(value == "0", "the double knows no TimeoutStartSec={value}"),
            ("Service", "Type") => {
                ensure!(["notify", "exec"].contains(&value), "the double knows no Type={value}");
                self.is_notify = value == "notify";
            }
            ("Service", "EnvironmentFile") => self.environment.push(dashed(value)),
            ("Service", "ExecStartPre") => {
                let (command, may_fail) = dashed(value);
                self.before.push((words(&command), may_fail));
            }
            ("Service", "ExecStart") => self.start = words(value),
            ("Service", "Restart") => self.restarts = value == "always",
            ("Service", "RestartSec") => {
                let seconds: u64 = value.trim_end_matches('s').parse().context("Failed to parse RestartSec=")?;
                self.restart_ms = seconds * 1000;
            }
            ("Service", "KillMode") => self.kills_main_only = value == "process",
            _ => bail!("Unknown key name '{key}' in section '{section}'"),
        }
        Ok(())
    }
}

/// What a file of environment says: KEY=VALUE, one a line.
pub(super) fn environment(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .map(|line| {
            let (key, value) = line.split_once('=').with_context(|| format!("Ignoring invalid environment: {line}"))?;
            Ok((key.to_owned(), value.trim_matches('"').to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::k3s::K3sRole;

    use super::Unit;

    #[test]
    fn ours_are_understood_wholly() {
        for role in [K3sRole::Server, K3sRole::Agent] {
            let unit = Unit::parse(&rackhaven_k3s::install::unit::unit(role)).unwrap();
            assert_eq!(unit.start, ["/usr/local/bin/k3s", role.as_str()]);
            assert!(unit.is_notify && unit.restarts && unit.kills_main_only && unit.restart_ms == 5000);
            assert_eq!((unit.before.len(), unit.environment.len()), (2, 2));
        }
        assert!(Unit::parse("[Service]\nExecStrat=/bin/true\n").is_err());
        assert!(Unit::parse("[Service]\nExecStart=true\n").is_err());
    }
}
