//! Which stretch of an outage is drawn.

use super::super::outage::OutageReport;
use super::axis::drawn_ms;
use super::bars::{Segment, bar, quiet};

/// A drawing that grows is as long as one of these, milliseconds; later ones double.
const LENGTHS_MS: [u64; 14] = [
    30_000, 60_000, 90_000, 120_000, 180_000, 240_000, 300_000, 420_000, 600_000, 900_000, 1_200_000, 1_800_000,
    2_700_000, 3_600_000,
];

/// Which time is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Left end of the axis, milliseconds from the outage's begin.
    pub(crate) from_ms: u64,
    /// Where the bars end: now, or the outage's end.
    pub(crate) until_ms: u64,
    /// Right end of the axis.
    pub(crate) to_ms: u64,
}

impl Span {
    /// All of an outage that is over.
    pub(crate) fn whole(until_ms: u64) -> Self {
        Self { from_ms: 0, until_ms, to_ms: until_ms }
    }

    /// An outage that goes on: from the first order on, with room for what is expected; the axis grows in steps, so
    /// that the picture stays calm.
    pub(crate) fn growing(outage: &OutageReport, now_ms: u64, expected_ms: u64) -> Self {
        let bars = bars_of(outage);
        let moments = || bars.iter().flatten().map(|segment| segment.from_ms).filter(|moment| *moment > 0);
        let first = moments().min().unwrap_or(0);
        let from_ms = first - first % 5000;
        let quiet = quiet(&bars, from_ms, now_ms);
        let drawn = drawn_ms(&quiet, from_ms, now_ms);
        if let Some(((_, to), before)) = quiet.split_last()
            && *to == now_ms
            && now_ms - from_ms > expected_ms
            && drawn < drawn_ms(before, from_ms, now_ms)
        {
            // Nothing has been under way for so long that it is left out: there is nothing to keep room for.
            return Self { from_ms, until_ms: now_ms, to_ms: now_ms };
        }
        let wanted = drawn.max(expected_ms);
        let double = std::iter::successors(LENGTHS_MS.last().map(|last| last * 2), |length| length.checked_mul(2));
        let length = LENGTHS_MS.into_iter().chain(double).find(|length| *length >= wanted).unwrap_or(wanted);
        Self { from_ms, until_ms: now_ms, to_ms: now_ms.saturating_add(length - drawn) }
    }
}

/// The bars of all nodes.
pub(crate) fn bars_of(outage: &OutageReport) -> Vec<Vec<Segment>> {
    outage.nodes.iter().map(|node| bar(node.name.as_str(), &outage.events)).collect()
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::{Outage, OutageEvent, OutageNode};

    use super::super::super::outage::OutageReport;
    use super::Span;

    fn outage(events: &[(u64, &str)]) -> OutageReport {
        let event = |(at_s, kind): &(u64, &str)| OutageEvent {
            at_ms: at_s * 1000,
            node: "a".to_owned(),
            kind: (*kind).to_owned(),
            ..OutageEvent::default()
        };
        let nodes = vec![OutageNode { name: "a".to_owned(), ..OutageNode::default() }];
        OutageReport::new(Outage { nodes, events: events.iter().map(event).collect(), ..Outage::default() }).unwrap()
    }

    #[test]
    fn the_axis_grows_in_steps_and_rests_when_nothing_goes_on() {
        let events = [(132, "node.ordered"), (190, "node.off"), (3_600, "node.waking")];
        for (known, now_s, expected_s, (from_s, to_s)) in [
            // Nothing has gone yet.
            (0, 20, 90, (0, 90)),
            // Room for what is expected; then more of it.
            (1, 135, 90, (130, 220)),
            (1, 189, 90, (130, 220)),
            (1, 221, 90, (130, 250)),
            // Off, but not for long; then for so long that it is left out.
            (2, 215, 80, (130, 220)),
            (2, 260, 80, (130, 260)),
            (2, 3_000, 80, (130, 3_000)),
            // Up again: the hour in between takes no room. Room for 90 s, of which 73 are drawn.
            (3, 3_601, 0, (130, 3_601 + 16)),
        ] {
            let outage = outage(&events[..known]);
            let span = Span::growing(&outage, now_s * 1000, expected_s * 1000);
            assert_eq!((span.from_ms / 1000, span.to_ms / 1000), (from_s, to_s), "{now_s} s");
            assert_eq!(span.until_ms, now_s * 1000);
        }
    }
}
