//! What is wrong with a node, and with the fleet. Pure.

use rackhaven_proto::model::{NodeState, Sample, Severity, Verdict};
use rackhaven_proto::v1::StorageHealth;

/// Clock skew from which on it is a problem, milliseconds: TLS and Kerberos-like things break at minutes, logs at seconds.
const SKEW_MS: u64 = 5_000;
/// Share of a file system in use from which on it is a problem, and a critical one, percent.
const DISK_PERCENT: (f32, f32) = (90.0, 97.0);
/// Memory in use, percent.
const MEMORY_PERCENT: f32 = 95.0;
/// A Raspberry Pi throttles at 80 °C (soft) and 85 °C.
const CELSIUS: (f32, f32) = (80.0, 90.0);
/// Share of a disk's or card's life that is used up, percent.
const LIFE_PERCENT: (f32, f32) = (80.0, 100.0);
/// A certificate that ends within this was not renewed in time, milliseconds.
pub(crate) const CERTIFICATE_MS: i64 = 7 * 24 * 3600 * 1000;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// For a person.
    pub text: String,
}

/// What is wrong with one node, worst first; `by_sample` is what its last sample shows.
pub fn node_problems(
    state: NodeState,
    by_sample: &[Problem],
    skew_ms: Option<i64>,
    certificate_left_ms: Option<i64>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |severity, text: String| problems.push(Problem { severity, text });
    match state {
        NodeState::Down => add(Severity::Critical, "down".to_owned()),
        NodeState::Suspect => add(Severity::Warning, "missed heartbeats".to_owned()),
        NodeState::Unknown => add(Severity::Warning, "not heard of yet".to_owned()),
        NodeState::Up | NodeState::Off => {}
    }
    // Figures of a node that is not there are history, not problems.
    if matches!(state, NodeState::Up | NodeState::Suspect) {
        by_sample.iter().for_each(|problem| add(problem.severity, problem.text.clone()));
        if let Some(skew_ms) = skew_ms.filter(|skew| skew.unsigned_abs() >= SKEW_MS) {
            let side = if skew_ms < 0 { "behind" } else { "ahead" };
            add(Severity::Warning, format!("clock {} {side}", span(skew_ms.unsigned_abs())));
        }
    }
    match certificate_left_ms {
        Some(left) if left <= 0 => add(Severity::Critical, "certificate expired".to_owned()),
        Some(left) if left < CERTIFICATE_MS && state != NodeState::Up => {
            add(Severity::Warning, format!("certificate ends in {}", span(left.unsigned_abs())));
        }
        _ => {}
    }
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems
}

/// What is wrong by a sample, worst first.
pub(super) fn sample_problems(sample: &Sample) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |severity, text: String| problems.push(Problem { severity, text });
    let graded = |value: f32, (warn, critical): (f32, f32)| {
        (value >= warn).then_some(if value >= critical { Severity::Critical } else { Severity::Warning })
    };
    if let Some((percent, mount)) = sample.fullest_file_system()
        && let Some(severity) = graded(percent, DISK_PERCENT)
    {
        add(severity, format!("disk {mount} {percent:.0} % full"));
    }
    if let Some(celsius) = sample.hottest_celsius()
        && let Some(severity) = graded(celsius, CELSIUS)
    {
        add(severity, format!("{celsius:.0} °C"));
    }
    if let Some(percent) = sample.memory_used_percent().filter(|percent| *percent >= MEMORY_PERCENT) {
        add(Severity::Warning, format!("memory {percent:.0} % used"));
    }
    let wire = sample.as_wire();
    // What a card does that is about to die. A root that is meant to be so is an overlay, which is not.
    if wire.file_systems.iter().any(|fs| fs.mount_point == "/" && fs.read_only) {
        add(Severity::Critical, "disk / is read-only".to_owned());
    }
    for storage in &wire.storage {
        let (ails, text) = storage_ails(storage);
        let worn = || graded(storage.used_life_percent?, LIFE_PERCENT);
        if let Some(severity) = ails.or_else(worn) {
            add(severity, text);
        }
    }
    if let Some(throttling) = &wire.throttling {
        if throttling.under_voltage_now {
            add(Severity::Critical, "under-voltage: weak power supply or cable".to_owned());
        } else if throttling.under_voltage_since_boot {
            add(Severity::Warning, "under-voltage since boot".to_owned());
        }
        if throttling.throttled_now {
            add(Severity::Warning, "throttled".to_owned());
        }
    }
    if let Some(units) = wire.units.as_ref().filter(|units| units.failed_count > 0) {
        let first = units.failed.first().map_or("", String::as_str);
        let text = match units.failed_count {
            1 => format!("failed unit {first}"),
            more => format!("{more} failed units ({first}, …)"),
        };
        add(Severity::Warning, text);
    }
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems
}

/// What a disk or card tells of its health, and how bad that is besides how worn it is.
pub(crate) fn storage_ails(storage: &StorageHealth) -> (Option<Severity>, String) {
    let counted = |count: Option<u64>, what: &str| count.filter(|count| *count > 0).map(|n| format!("{n} {what}"));
    let failing = storage.failing.then(|| "it says that it fails".to_owned());
    let severity = failing.as_ref().map(|_| Severity::Critical);
    let errors =
        [counted(storage.bad_sectors, "bad sectors"), counted(storage.file_system_errors, "file system errors")];
    let severity = severity.or(errors.iter().any(Option::is_some).then_some(Severity::Warning));
    let life = storage.used_life_percent.map(|percent| format!("{percent:.0} % of its life used"));
    let words: Vec<_> = [failing].into_iter().chain(errors).chain([life]).flatten().collect();
    (severity, format!("{}: {}", storage.device, words.join(", ")))
}

/// Milliseconds as a person would say them.
pub(crate) fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds @ 172_800..63_072_000 => format!("{} days", seconds / 86_400),
        seconds => format!("{} years", seconds / 31_536_000),
    }
}

/// The fleet in one word and one line, from each node's name, state and problems.
pub fn fleet_verdict<'a>(nodes: impl Iterator<Item = (&'a str, NodeState, &'a [Problem])>) -> (Verdict, String) {
    let (mut total, mut up, mut off) = (0_usize, 0_usize, 0_usize);
    let (mut down, mut uncertain) = (Vec::new(), Vec::new());
    let mut worst: Option<(Severity, String)> = None;
    for (name, state, problems) in nodes {
        total += 1;
        match state {
            NodeState::Up => up += 1,
            NodeState::Off => off += 1,
            NodeState::Down => down.push(name),
            NodeState::Suspect | NodeState::Unknown => uncertain.push(name),
        }
        if let (NodeState::Up, Some(first)) = (state, problems.first())
            && worst.as_ref().is_none_or(|(severity, _)| *severity < first.severity)
        {
            worst = Some((first.severity, format!("{name}: {}", first.text)));
        }
    }
    let of = |count: usize| match total {
        1 => "the only node".to_owned(),
        _ if count == total => format!("all {}", nodes_word(total)),
        _ => format!("{count} of {}", nodes_word(total)),
    };
    let mut parts = Vec::new();
    if !down.is_empty() {
        parts.push(format!("{} down{}", of(down.len()), in_brackets(&down)));
    }
    if !uncertain.is_empty() {
        parts.push(format!("{} not heard{}", of(uncertain.len()), in_brackets(&uncertain)));
    }
    let all_gone = total > 0 && down.len() == total;
    let critical = matches!(worst, Some((Severity::Critical, _)));
    if let Some((_, text)) = worst {
        parts.push(text);
    }
    if parts.is_empty() {
        let reason = match (total, off) {
            (0, _) => "no nodes enrolled".to_owned(),
            (_, 0) => format!("{} up", nodes_word(up)),
            _ => format!("{} up, {off} off", nodes_word(up)),
        };
        return (Verdict::Ok, reason);
    }
    let verdict = if all_gone || critical { Verdict::Critical } else { Verdict::Degraded };
    (verdict, parts.join("; "))
}

fn nodes_word(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

fn in_brackets(names: &[&str]) -> String {
    match names {
        [one] => format!(" ({one})"),
        [one, two] => format!(" ({one}, {two})"),
        [one, two, rest @ ..] => format!(" ({one}, {two} and {} more)", rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1;

    use super::{NodeState, Problem, Sample, Severity, Verdict, fleet_verdict, node_problems, sample_problems};

    fn sample(wire: v1::Sample) -> Sample {
        Sample::try_from(wire).unwrap()
    }

    fn texts(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.text.as_str()).collect()
    }

    #[test]
    fn worst_first_and_history_is_no_problem() {
        let fs = v1::FileSystem {
            mount_point: "/".to_owned(),
            used_bytes: 91,
            available_bytes: 9,
            ..v1::FileSystem::default()
        };
        let throttling = v1::Throttling { under_voltage_now: true, ..v1::Throttling::default() };
        let units = v1::Units { failed: vec!["a.service".to_owned()], failed_count: 2 };
        let bad = sample_problems(&sample(v1::Sample {
            file_systems: vec![fs],
            throttling: Some(throttling),
            units: Some(units),
            ..v1::Sample::default()
        }));
        assert_eq!(
            texts(&node_problems(NodeState::Up, &bad, Some(-1_700_000_000_000), Some(1))),
            [
                "under-voltage: weak power supply or cable",
                "disk / 91 % full",
                "2 failed units (a.service, …)",
                "clock 53 years behind"
            ]
        );
        let of = |mount_point: &str| v1::FileSystem {
            mount_point: mount_point.to_owned(),
            read_only: true,
            ..v1::FileSystem::default()
        };
        let dying = v1::Sample { file_systems: vec![of("/media/cdrom"), of("/")], ..v1::Sample::default() };
        assert_eq!(texts(&sample_problems(&sample(dying))), ["disk / is read-only"]);
        assert_eq!(texts(&node_problems(NodeState::Down, &bad, Some(9999), None)), ["down"]);
        assert_eq!(texts(&node_problems(NodeState::Up, &[], Some(4999), Some(0))), ["certificate expired"]);
        // The least number has no positive counterpart.
        assert_eq!(texts(&node_problems(NodeState::Up, &[], Some(i64::MIN), None)), ["clock 292471208 years behind"]);
        assert_eq!(texts(&node_problems(NodeState::Off, &bad, None, None)), Vec::<&str>::new());
    }

    #[test]
    fn verdict_golden() {
        use NodeState::{Down, Off, Suspect, Unknown, Up};
        let warning = [Problem { severity: Severity::Warning, text: "80 °C".to_owned() }];
        let critical = [Problem { severity: Severity::Critical, text: "hot".to_owned() }];
        let none: &[Problem] = &[];
        type Row<'a> = (&'a [(&'a str, NodeState, &'a [Problem])], Verdict, &'a str);
        let table: [Row<'_>; 9] = [
            (&[], Verdict::Ok, "no nodes enrolled"),
            (&[("a", Up, none)], Verdict::Ok, "1 node up"),
            (&[("a", Up, none), ("b", Off, none)], Verdict::Ok, "1 node up, 1 off"),
            (&[("a", Up, none), ("b", Down, none)], Verdict::Degraded, "1 of 2 nodes down (b)"),
            (&[("a", Down, none), ("b", Down, none)], Verdict::Critical, "all 2 nodes down (a, b)"),
            (&[("a", Up, none), ("b", Suspect, none)], Verdict::Degraded, "1 of 2 nodes not heard (b)"),
            (&[("a", Unknown, none)], Verdict::Degraded, "the only node not heard (a)"),
            (&[("a", Up, &warning), ("b", Up, none)], Verdict::Degraded, "a: 80 °C"),
            (&[("a", Up, &warning), ("b", Up, &critical)], Verdict::Critical, "b: hot"),
        ];
        for (nodes, verdict, reason) in table {
            assert_eq!(fleet_verdict(nodes.iter().copied()), (verdict, reason.to_owned()));
        }
    }
}
