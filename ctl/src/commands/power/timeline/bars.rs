//! From events to bars: what a node was doing when.

use super::super::outage::TimelineEvent;
use crate::style::Style;

/// What a node is doing, as one shade of its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shade {
    /// It was not told to go.
    Running,
    /// It goes through its steps.
    Stopping,
    /// Past the point of no return.
    PoweringOff,
    /// Confirmed off.
    Off,
    /// Its time was over, and nobody knows whether it is off.
    Missing,
    /// It could not be switched off.
    Failed,
    /// On its way up.
    Returning,
    /// At work again.
    Back,
}

/// From a moment on until the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Milliseconds from the outage's begin.
    pub(crate) from_ms: u64,
    /// What the node does from then on.
    pub(crate) shade: Shade,
}

/// One node's bar: segments in the order of time, the first from 0 on, no two neighbours alike.
pub(crate) fn bar(node: &str, events: &[TimelineEvent]) -> Vec<Segment> {
    let mut segments = vec![Segment { from_ms: 0, shade: Shade::Running }];
    let own = |event: &&TimelineEvent| event.node.as_ref().is_some_and(|name| name.as_str() == node);
    for event in events.iter().filter(own) {
        let Some(last) = segments.last().copied() else { break };
        let Some(shade) = last.shade.after(event.kind.as_str()).filter(|shade| *shade != last.shade) else { continue };
        // What was told late does not turn time back.
        let from_ms = event.at_ms.max(last.from_ms);
        if from_ms == last.from_ms {
            segments.pop();
        }
        if segments.last().is_none_or(|before| before.shade != shade) {
            segments.push(Segment { from_ms, shade });
        }
    }
    segments
}

impl Shade {
    /// All of them, in the order of an outage.
    pub(crate) const ALL: [Self; 8] = [
        Self::Running,
        Self::Stopping,
        Self::PoweringOff,
        Self::Off,
        Self::Missing,
        Self::Failed,
        Self::Returning,
        Self::Back,
    ];

    /// What an event makes of it; none if it tells nothing of that, or is not known to this version.
    fn after(self, kind: &str) -> Option<Self> {
        match kind {
            "node.ordered" | "master.ordered" => Some(Self::Stopping),
            // A step's report may be late.
            "node.step" if self == Self::Running => Some(Self::Stopping),
            "node.powering-off" => Some(Self::PoweringOff),
            "node.off" => Some(Self::Off),
            "node.missing" => Some(Self::Missing),
            "node.failed" => Some(Self::Failed),
            "node.waking" | "node.returning" | "node.held" => Some(Self::Returning),
            "node.back" | "node.aborted" => Some(Self::Back),
            _ => None,
        }
    }

    /// Whether something is going on.
    fn is_busy(self) -> bool {
        matches!(self, Self::Stopping | Self::PoweringOff | Self::Returning)
    }

    /// The sign that its columns are filled with.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Running | Self::Back => '─',
            Self::Stopping => '▒',
            Self::PoweringOff => '▓',
            Self::Off => '█',
            Self::Missing => '?',
            Self::Failed => '!',
            Self::Returning => '░',
        }
    }

    /// Its colour.
    pub(crate) fn style(self) -> Style {
        match self {
            Self::Running => Style::Dim,
            Self::Stopping => Style::Warn,
            Self::PoweringOff => Style::Leaving,
            Self::Off => Style::Asleep,
            Self::Missing | Self::Failed => Style::Bad,
            Self::Returning => Style::Returning,
            Self::Back => Style::Good,
        }
    }

    /// Its word in the legend.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::PoweringOff => "powering off",
            Self::Off => "off",
            Self::Missing => "unconfirmed",
            Self::Failed => "failed",
            Self::Returning => "returning",
            Self::Back => "back",
        }
    }
}

/// What a stretch of time looks like in one column: what begins in it first, so that the shortest segment is seen, and
/// what went wrong before all else; or what goes on.
pub(crate) fn shade_between(segments: &[Segment], from_ms: u64, to_ms: u64) -> Shade {
    let begun = || segments.iter().filter(|segment| (from_ms..to_ms).contains(&segment.from_ms) && segment.from_ms > 0);
    let wrong = begun().find(|segment| matches!(segment.shade, Shade::Missing | Shade::Failed));
    let going_on = || segments.iter().rfind(|segment| segment.from_ms <= from_ms);
    wrong.or_else(|| begun().next()).or_else(going_on).map_or(Shade::Running, |segment| segment.shade)
}

/// The stretches between two moments in which nothing goes on in any of the bars.
pub(crate) fn quiet(bars: &[Vec<Segment>], from_ms: u64, until_ms: u64) -> Vec<(u64, u64)> {
    let ends = |bar: &[Segment]| -> Vec<u64> {
        bar.iter().skip(1).map(|segment| segment.from_ms).chain(std::iter::once(until_ms)).collect()
    };
    let busy = |bar: &Vec<Segment>| {
        let stretch = |(segment, end): (&Segment, u64)| segment.shade.is_busy().then_some((segment.from_ms, end));
        bar.iter().zip(ends(bar)).filter_map(stretch).collect::<Vec<_>>()
    };
    let mut busy: Vec<_> = bars.iter().flat_map(busy).collect();
    busy.sort_unstable();
    let mut quiet = Vec::new();
    let mut rested_from = from_ms;
    for (from, to) in busy {
        if from > rested_from {
            quiet.push((rested_from, from.min(until_ms)));
        }
        rested_from = rested_from.max(to);
    }
    if until_ms > rested_from {
        quiet.push((rested_from, until_ms));
    }
    quiet
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::OutageEvent;

    use super::super::super::outage::TimelineEvent;
    use super::{Segment, Shade, bar, quiet, shade_between};

    fn events(told: &[(u64, &str, &str)]) -> Vec<TimelineEvent> {
        let event = |(at_ms, node, kind): &(u64, &str, &str)| {
            let (node, kind) = ((*node).to_owned(), (*kind).to_owned());
            TimelineEvent::new(&OutageEvent { at_ms: *at_ms, node, kind, ..OutageEvent::default() })
        };
        told.iter().map(event).collect()
    }

    fn shades(told: &[(u64, &str, &str)]) -> Vec<(u64, Shade)> {
        bar("a", &events(told)).iter().map(|segment| (segment.from_ms, segment.shade)).collect()
    }

    #[test]
    fn golden() {
        use Shade::*;
        let whole = [
            (0, "", "outage.on-battery"),
            (5, "a", "node.ordered"),
            (6, "a", "node.step"),
            (7, "b", "node.off"),
            (9, "a", "node.powering-off"),
            (10, "a", "node.step"),
            (12, "a", "node.off"),
            (13, "a", "node.painted"),
            (20, "a", "node.waking"),
            (30, "a", "node.returning"),
            (31, "a", "node.held"),
            (40, "a", "node.back"),
        ];
        let expected = [(0, Running), (5, Stopping), (9, PoweringOff), (12, Off), (20, Returning), (40, Back)].to_vec();
        assert_eq!(shades(&whole), expected);
        for (told, expected) in [
            (vec![], vec![(0, Running)]),
            (vec![(3, "a", "node.step")], vec![(0, Running), (3, Stopping)]),
            (vec![(0, "a", "node.ordered")], vec![(0, Stopping)]),
            (vec![(2, "a", "node.ordered"), (4, "a", "node.aborted")], vec![(0, Running), (2, Stopping), (4, Back)]),
            (
                vec![(2, "a", "node.ordered"), (8, "a", "node.missing"), (9, "a", "node.off")],
                vec![(0, Running), (2, Stopping), (8, Missing), (9, Off)],
            ),
            (
                vec![(2, "a", "node.ordered"), (8, "a", "node.failed"), (9, "a", "node.back")],
                vec![(0, Running), (2, Stopping), (8, Failed), (9, Back)],
            ),
            // Told late, and two at one moment.
            (vec![(9, "a", "node.off"), (4, "a", "node.waking")], vec![(0, Running), (9, Returning)]),
        ] {
            assert_eq!(shades(&told), expected, "{told:?}");
        }
    }

    #[test]
    fn the_shortest_segment_is_seen_and_what_went_wrong_before_it() {
        use Shade::*;
        let segments = |told: &[(u64, Shade)]| {
            told.iter().map(|(from_ms, shade)| Segment { from_ms: *from_ms, shade: *shade }).collect::<Vec<_>>()
        };
        let quick = segments(&[(0, Running), (12, Stopping), (15, PoweringOff), (16, Off)]);
        let seen = |from_ms| shade_between(&quick, from_ms, from_ms + 10);
        assert_eq!([0, 10, 20].map(seen), [Running, Stopping, Off]);
        let wrong = segments(&[(0, Running), (12, Stopping), (15, Missing), (16, Off)]);
        assert_eq!(shade_between(&wrong, 10, 20), Missing);
        assert_eq!(shade_between(&segments(&[(0, Stopping)]), 0, 5), Stopping);
    }

    #[test]
    fn quiet_is_when_nobody_is_busy() {
        let bars = [
            bar("a", &events(&[(10, "a", "node.ordered"), (20, "a", "node.off"), (60, "a", "node.waking")])),
            bar("b", &events(&[(15, "b", "node.ordered"), (30, "b", "node.missing")])),
        ];
        assert_eq!(quiet(&bars, 0, 55), [(0, 10), (30, 55)]);
        assert_eq!(quiet(&bars, 12, 99), [(30, 60)]);
        assert_eq!(quiet(&[bar("c", &[])], 0, 9), [(0, 9)]);
    }
}
