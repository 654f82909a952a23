//! What became of an outage, from its timeline.

use rackhaven_proto::model::StepKind;

use super::outage::{OutageReport, TimelineEvent};
use super::timeline::{Shade, bar};
use crate::style::Style;
use crate::units::count;

/// The last that the timeline tells of a node.
pub(super) fn last_shade(node: &str, events: &[TimelineEvent]) -> Shade {
    bar(node, events).last().map_or(Shade::Running, |segment| segment.shade)
}

/// Whether any node was told to go.
pub(super) fn moved(outage: &OutageReport) -> bool {
    outage.nodes.iter().any(|node| bar(node.name.as_str(), &outage.events).len() > 1)
}

/// How many nodes were off, or were to be.
pub(super) fn taken_down(outage: &OutageReport) -> usize {
    let down = |name: &str| {
        bar(name, &outage.events).iter().any(|segment| matches!(segment.shade, Shade::Off | Shade::Missing))
    };
    outage.nodes.iter().filter(|node| down(node.name.as_str())).count()
}

/// What became of it, in few words.
pub(super) fn outcome(outage: &OutageReport) -> (Style, String) {
    if outage.ended.is_none() {
        return (Style::Warn, "goes on".to_owned());
    }
    if outage.is_drill() {
        let bad: usize = outage.nodes.iter().map(|node| bad_steps(node.name.as_str(), &outage.events)).sum();
        return match bad {
            0 => (Style::Good, format!("{} through", count(outage.nodes.len(), "node"))),
            bad => (Style::Bad, format!("{} not done", count(bad, "step"))),
        };
    }
    let shades: Vec<_> =
        outage.nodes.iter().map(|node| (node.name.as_str(), last_shade(node.name.as_str(), &outage.events))).collect();
    if shades.iter().all(|(_, shade)| *shade == Shade::Running) {
        return (Style::Good, "no node went down".to_owned());
    }
    if outage.kind.as_str() == "manual" && shades.iter().all(|(_, shade)| matches!(shade, Shade::Running | Shade::Off))
    {
        // As was asked for.
        return (Style::Good, format!("{} off", count(taken_down(outage), "node")));
    }
    let not_back: Vec<_> = shades
        .iter()
        .filter(|(_, shade)| !matches!(shade, Shade::Running | Shade::Back))
        .map(|(name, _)| *name)
        .collect();
    match not_back.as_slice() {
        [] if taken_down(outage) == 0 => (Style::Good, "aborted, all kept".to_owned()),
        [] => (Style::Good, "all back".to_owned()),
        names => (Style::Bad, format!("{} not back: {}", count(names.len(), "node"), names.join(", "))),
    }
}

/// One step of a node as its timeline tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepTaken {
    /// Which.
    pub(super) step: StepKind,
    /// How it ended, in the controller's word; empty while it goes on.
    pub(super) outcome: &'static str,
    /// How long it took, milliseconds.
    pub(super) duration_ms: u64,
}

/// The ends that a step may have.
const OUTCOMES: [&str; 5] = ["done", "failed", "timed out", "skipped", "abandoned"];

/// The steps of a node in the order in which they ended or began. A line that is not understood tells of none.
pub(super) fn steps_taken(node: &str, events: &[TimelineEvent]) -> Vec<StepTaken> {
    let mut taken: Vec<(StepTaken, u64)> = Vec::new();
    let own = |event: &&TimelineEvent| {
        event.kind.as_str() == "node.step" && event.node.as_ref().is_some_and(|name| name.as_str() == node)
    };
    for event in events.iter().filter(own) {
        let (word, rest) = event.message.as_str().split_once(' ').unwrap_or((event.message.as_str(), ""));
        let Some(step) = StepKind::ALL.into_iter().find(|step| step.as_str() == word) else { continue };
        let known = taken.iter_mut().find(|(taken, _)| taken.step == step);
        let Some(outcome) = OUTCOMES.into_iter().find(|outcome| rest.starts_with(outcome)) else {
            if known.is_none() {
                taken.push((StepTaken { step, outcome: "", duration_ms: 0 }, event.at_ms));
            }
            continue;
        };
        // The node's own measure, where it is told; else the time between the two lines.
        let told = told_ms(rest);
        match known {
            Some((taken, begun_ms)) => {
                taken.outcome = outcome;
                taken.duration_ms = told.unwrap_or_else(|| event.at_ms.saturating_sub(*begun_ms));
            }
            None => taken.push((StepTaken { step, outcome, duration_ms: told.unwrap_or(0) }, event.at_ms)),
        }
    }
    taken.into_iter().map(|(taken, _)| taken).collect()
}

/// How many steps of a node did not do what they are for.
pub(super) fn bad_steps(node: &str, events: &[TimelineEvent]) -> usize {
    let steps = steps_taken(node, events);
    steps.iter().filter(|taken| !matches!(taken.outcome, "done" | "skipped")).count()
}

/// The figure in `done in 1.2 s`, milliseconds.
fn told_ms(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace().skip_while(|word| !matches!(*word, "in" | "after"));
    let (_, figure, unit) = (words.next()?, words.next()?.parse::<f64>().ok()?, words.next()?);
    let ms = match unit.trim_end_matches([':', ',', '.', ';']) {
        "ms" => figure,
        "s" => figure * 1000.0,
        _ => return None,
    };
    (ms.is_finite() && ms >= 0.0).then_some(ms as u64)
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::StepKind;
    use rackhaven_proto::v1::OutageEvent;

    use super::super::outage::TimelineEvent;
    use super::{StepTaken, bad_steps, steps_taken};

    #[test]
    fn steps_are_read_from_their_lines() {
        let event = |at_ms, message: &str| {
            TimelineEvent::new(&OutageEvent {
                at_ms,
                node: "a".to_owned(),
                kind: "node.step".to_owned(),
                message: message.to_owned(),
                ..OutageEvent::default()
            })
        };
        let events = [
            event(0, "drain begun"),
            event(900, "drain done in 1.2 s"),
            event(900, "stop-k3s begun"),
            event(5_900, "stop-k3s timed out"),
            event(5_900, "hooks failed after 250 ms: 10-db said 1"),
            event(6_000, "painting done"),
            event(6_000, "unmount skipped"),
            event(6_000, "sync begun"),
        ];
        let taken = |step, outcome, duration_ms| StepTaken { step, outcome, duration_ms };
        let expected = [
            taken(StepKind::Drain, "done", 1_200),
            taken(StepKind::StopK3s, "timed out", 5_000),
            taken(StepKind::Hooks, "failed", 250),
            taken(StepKind::Unmount, "skipped", 0),
            taken(StepKind::Sync, "", 0),
        ];
        assert_eq!(steps_taken("a", &events), expected);
        assert_eq!((bad_steps("a", &events), bad_steps("b", &events)), (3, 0));
    }
}
