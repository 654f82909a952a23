//! What is known of the nodes, as the contract says it.

use std::collections::HashMap;

use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;

use super::k3s_nodes;
use crate::core::Core;
use crate::fleet::{NodeView, Problem, fleet_verdict, node_problems};

/// A node with what is wrong with it.
pub(crate) struct Judged {
    pub(crate) view: NodeView,
    pub(super) problems: Vec<Problem>,
    pub(crate) certificate_ends_ms: i64,
}

/// Judges a node. `certificate_ends_s` by name.
pub(super) fn judge(view: NodeView, certificate_ends_s: &HashMap<String, i64>, wall_ms: i64) -> Judged {
    let ends_ms = certificate_ends_s.get(view.name.as_str()).map(|end_s| end_s.saturating_mul(1000));
    let left_ms = ends_ms.map(|end| end.saturating_sub(wall_ms));
    let by_sample = view.reading.as_deref().map_or(&[][..], |reading| &reading.problems);
    let problems = node_problems(view.state, by_sample, view.skew_ms, left_ms);
    Judged { view, problems, certificate_ends_ms: ends_ms.unwrap_or(0) }
}

/// Worst first, then by name.
pub(super) fn sort(nodes: &mut [Judged]) {
    let rank = |node: &Judged| {
        let state = match node.view.state {
            NodeState::Down => 0,
            NodeState::Suspect => 1,
            NodeState::Unknown => 2,
            NodeState::Up => 3,
            NodeState::Off => 4,
        };
        let worst = node.problems.first().map(|problem| std::cmp::Reverse(problem.severity));
        (state, worst.is_none(), worst)
    };
    nodes.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.view.name.cmp(&b.view.name)));
}

/// The verdict on all nodes, and the age of the oldest sample of one that is up.
pub(super) fn overall(nodes: &[Judged]) -> (v1::Verdict, String, Option<u64>) {
    let each = nodes.iter().map(|node| (node.view.name.as_str(), node.view.state, node.problems.as_slice()));
    let (verdict, reason) = fleet_verdict(each);
    let up = nodes.iter().filter(|node| node.view.state == NodeState::Up);
    let age_ms = up.filter_map(|node| node.view.sample_age_ms).max();
    (verdict.into(), reason, age_ms)
}

/// The verdict on all nodes together with that on the supply: the worse one counts, and both are told.
pub(super) fn with_power(nodes: (v1::Verdict, String), power: &v1::PowerStatus) -> (v1::Verdict, String) {
    let left = power.runtime_left_ms.map(|ms| format!(", about {} min left", ms / 60_000)).unwrap_or_default();
    let (verdict, text) = match power.phase() {
        v1::PowerPhase::ShuttingDown => (v1::Verdict::Critical, format!("shutting down{left}")),
        v1::PowerPhase::OnBattery => (v1::Verdict::Critical, format!("on battery{left}")),
        v1::PowerPhase::Restoring => (v1::Verdict::Degraded, "nodes are being brought back".to_owned()),
        v1::PowerPhase::Normal if power.supply() == v1::Supply::Unknown => {
            (v1::Verdict::Degraded, "no UPS can be read".to_owned())
        }
        _ if power.upses.iter().any(|ups| ups.replace_battery) => {
            (v1::Verdict::Degraded, "a UPS wants a new battery".to_owned())
        }
        _ => return nodes,
    };
    let reason = if nodes.0 == v1::Verdict::Ok { text } else { format!("{text}; {}", nodes.1) };
    (if nodes.0 as i32 > verdict as i32 { nodes.0 } else { verdict }, reason)
}

/// The same verdict together with that on the backups: a fleet whose backups fail is not well.
pub(super) fn with_backups(nodes: (v1::Verdict, String), backups: &v1::BackupSummary) -> (v1::Verdict, String) {
    let counts = [(backups.failed, "failed"), (backups.late, "late")].into_iter().filter(|(count, _)| *count > 0);
    let troubles: Vec<_> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    if troubles.is_empty() {
        return nodes;
    }
    degraded(nodes, format!("backups: {}", troubles.join(", ")))
}

/// The same verdict together with that on K3s. `is_up`: whether the fleet has a node of this name for up; of one that it has
/// not, enough is said already.
pub(super) fn with_k3s(
    nodes: (v1::Verdict, String),
    k3s: &v1::K3sSummary,
    is_up: impl Fn(&str) -> bool,
) -> (v1::Verdict, String) {
    if !k3s.problem.is_empty() {
        return degraded(nodes, "K3s: its API is not reached".to_owned());
    }
    let not_ready: Vec<_> = k3s.not_ready.iter().map(String::as_str).filter(|name| is_up(name)).collect();
    match not_ready.as_slice() {
        [] => nodes,
        names => degraded(nodes, format!("K3s: {} not Ready", names.join(", "))),
    }
}

/// What is not well beside all that was said before.
fn degraded(before: (v1::Verdict, String), text: String) -> (v1::Verdict, String) {
    match before {
        (v1::Verdict::Ok, _) => (v1::Verdict::Degraded, text),
        (verdict, reason) => (verdict, format!("{reason}; {text}")),
    }
}

/// All that `ctl status` says first.
pub(crate) struct Whole {
    pub(crate) nodes: Vec<Judged>,
    pub(crate) verdict: v1::Verdict,
    pub(super) reason: String,
    pub(super) data_age_ms: Option<u64>,
    pub(crate) power: Option<v1::PowerStatus>,
    pub(super) backups: Option<v1::BackupSummary>,
    pub(super) k3s: Option<v1::K3sSummary>,
}

/// The whole fleet, judged now.
pub(crate) fn whole(core: &Core) -> Whole {
    let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
    let ends = core.directory.node_certificate_ends();
    let views = core.registry.views(now_ms, wall_ms);
    let mut nodes: Vec<_> = views.into_iter().map(|view| judge(view, &ends, wall_ms)).collect();
    sort(&mut nodes);
    let (mut verdict, mut reason, data_age_ms) = overall(&nodes);
    let has_power = !core.config.load().power.upses.is_empty() || core.power.goes_on();
    let power = has_power.then(|| super::power::status(core, false));
    if let Some(power) = &power {
        (verdict, reason) = with_power((verdict, reason), power);
    }
    let backups = core.backups.summary(wall_ms);
    if let Some(backups) = &backups {
        (verdict, reason) = with_backups((verdict, reason), backups);
    }
    let k3s = k3s_nodes::summary(core);
    // A rack that goes down or comes up is not ready, of course.
    let at_rest = power.as_ref().is_none_or(|power| power.phase() == v1::PowerPhase::Normal);
    if let Some(k3s) = k3s.as_ref().filter(|_| at_rest) {
        let is_up =
            |name: &str| !nodes.iter().any(|node| node.view.name.as_str() == name && node.view.state != NodeState::Up);
        (verdict, reason) = with_k3s((verdict, reason), k3s, is_up);
    }
    Whole { nodes, verdict, reason, data_age_ms, power, backups, k3s }
}

/// The verdict in one line, as `ctl status` has it.
pub(crate) fn verdict_line(core: &Core) -> String {
    let whole = whole(core);
    let word = match whole.verdict {
        v1::Verdict::Ok => "OK",
        v1::Verdict::Degraded => "DEGRADED",
        v1::Verdict::Critical => "CRITICAL",
        v1::Verdict::Unspecified => "UNKNOWN",
    };
    format!("{word}: {}", whole.reason)
}

/// One row of the status.
pub(super) fn summary(node: &Judged) -> v1::NodeSummary {
    let view = &node.view;
    let figures = view.reading.as_deref().map(|reading| &reading.figures);
    let disk = figures.and_then(|figures| figures.disk.as_ref());
    v1::NodeSummary {
        name: view.name.to_string(),
        state: v1::NodeState::from(view.state).into(),
        arch: view.facts.as_ref().map_or_else(String::new, |facts| facts.arch.clone()),
        agent_version: view.agent_version.clone(),
        labels: (&view.labels).into(),
        state_for_ms: view.state_for_ms,
        heard_ms_ago: view.heard_ms_ago,
        clock_skew_ms: view.skew_ms,
        uptime_seconds: figures.map(|figures| figures.uptime_seconds),
        cpu_percent: figures.and_then(|figures| figures.cpu_percent),
        load_one: figures.and_then(|figures| figures.load_one),
        memory_used_percent: figures.and_then(|figures| figures.memory_used_percent),
        disk_used_percent: disk.map(|(percent, _)| *percent),
        disk_mount_point: disk.map_or_else(String::new, |(_, mount)| mount.to_string()),
        temperature_celsius: figures.and_then(|figures| figures.temperature_celsius),
        problems: node.problems.iter().map(|problem| problem.text.clone()).collect(),
        certificate_ends_unix_ms: node.certificate_ends_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::{v1, with_k3s};

    #[test]
    fn k3s_golden() {
        let well = || (v1::Verdict::Ok, "all 3 nodes up".to_owned());
        let down = || (v1::Verdict::Critical, "on battery".to_owned());
        for (before, not_ready, problem, verdict, reason) in [
            (well(), vec![], "", v1::Verdict::Ok, "all 3 nodes up"),
            (well(), vec!["pi-1", "pi-2"], "", v1::Verdict::Degraded, "K3s: pi-1, pi-2 not Ready"),
            (well(), vec!["gone"], "", v1::Verdict::Ok, "all 3 nodes up"),
            (well(), vec![], "connection refused", v1::Verdict::Degraded, "K3s: its API is not reached"),
            (down(), vec!["pi-1"], "", v1::Verdict::Critical, "on battery; K3s: pi-1 not Ready"),
        ] {
            let not_ready = not_ready.into_iter().map(str::to_owned).collect();
            let k3s = v1::K3sSummary { nodes: 3, not_ready, problem: problem.to_owned(), ..Default::default() };
            let (seen, said) = with_k3s(before, &k3s, |name| name != "gone");
            assert_eq!((seen, said.as_str()), (verdict, reason));
        }
    }
}
