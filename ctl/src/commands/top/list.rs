//! Which nodes are shown, in which order. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use crate::commands::node::NodeReport;
use crate::text::Text;

/// Most points of a node's CPU that are kept.
const TRAIL_POINTS: usize = 60;

/// What the nodes are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// As the controller judges: worst first.
    State,
    /// By name.
    Name,
    /// Busiest first.
    Cpu,
    /// Fullest memory first.
    Memory,
    /// Hottest first.
    Temperature,
    /// Fullest file system first.
    Disk,
}

impl Sort {
    /// All, in the order in which one comes to them.
    const ALL: [Self; 6] = [Self::State, Self::Name, Self::Cpu, Self::Memory, Self::Temperature, Self::Disk];

    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Cpu => "cpu",
            Self::Memory => "mem",
            Self::Temperature => "temp",
            Self::Disk => "disk",
        }
    }

    /// The one so many places further; round and round.
    pub(super) fn step(self, places: usize) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Self::ALL[(at + places) % Self::ALL.len()]
    }

    /// The one before.
    pub(super) fn back(self) -> Self {
        self.step(Self::ALL.len() - 1)
    }

    fn figure(self, node: &NodeReport) -> Option<f32> {
        let figure = match self {
            Self::State | Self::Name => None,
            Self::Cpu => node.cpu_percent,
            Self::Memory => node.memory_used_percent,
            Self::Temperature => node.temperature_celsius,
            Self::Disk => node.disk_used_percent,
        };
        // What was last measured on a node that is gone is not of the present.
        figure.filter(|_| node.is_there())
    }
}

/// The places of those nodes that `filter` lets through, in their order. Those without a figure come last either way.
pub(super) fn order(nodes: &[NodeReport], sort: Sort, inverted: bool, filter: &str) -> Vec<usize> {
    let filter = filter.trim().to_lowercase();
    let mut places: Vec<_> = (0..nodes.len()).filter(|place| is_shown(&nodes[*place], &filter)).collect();
    let turned = |order: Ordering| if inverted { order.reverse() } else { order };
    places.sort_by(|a, b| {
        let (one, other) = (&nodes[*a], &nodes[*b]);
        match sort {
            // As they came.
            Sort::State => turned(a.cmp(b)),
            Sort::Name => turned(one.name.cmp(&other.name)),
            _ => match (sort.figure(one), sort.figure(other)) {
                (Some(one), Some(other)) => turned(other.total_cmp(&one)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
            .then_with(|| one.name.cmp(&other.name)),
        }
    });
    places
}

/// Whether name, state, a label or a problem has this in it.
fn is_shown(node: &NodeReport, filter: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(filter);
    filter.is_empty()
        || has(node.name.as_str())
        || has(node.state.as_str())
        || node.labels.iter().any(|(key, value)| has(&format!("{key}={value}")))
        || node.problems.iter().any(|problem| has(problem.as_str()))
}

/// The CPU of each node as it was at the last looks; oldest first.
#[derive(Debug, Default)]
pub(super) struct Trails(BTreeMap<Text, VecDeque<Option<f32>>>);

impl Trails {
    /// Adds what was seen; nodes that are no more are forgotten.
    pub(super) fn add(&mut self, nodes: &[NodeReport]) {
        let mut before = std::mem::take(&mut self.0);
        for node in nodes {
            let mut trail = before.remove(&node.name).unwrap_or_default();
            if trail.len() >= TRAIL_POINTS {
                trail.pop_front();
            }
            trail.push_back(node.cpu_percent.filter(|_| node.is_there()));
            self.0.insert(node.name.clone(), trail);
        }
    }

    /// The last points of one node, at most so many.
    pub(super) fn of(&self, node: &Text, points: usize) -> Vec<Option<f32>> {
        let Some(trail) = self.0.get(node) else { return Vec::new() };
        trail.iter().skip(trail.len().saturating_sub(points)).copied().collect()
    }
}

/// What is chosen in a list, and which part of it is in sight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The chosen place.
    pub(super) at: usize,
    /// The first place in sight.
    pub(super) offset: usize,
}

impl Cursor {
    /// Goes so many places down or up, within a list of `length`.
    pub(super) fn go(&mut self, places: isize, length: usize) {
        self.at = self.at.saturating_add_signed(places).min(length.saturating_sub(1));
    }

    /// Has the chosen place exist and be in sight.
    pub(super) fn settle(&mut self, length: usize, rows: usize) {
        let rows = rows.max(1);
        self.at = self.at.min(length.saturating_sub(1));
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(rows));
        self.offset = self.offset.min(length.saturating_sub(rows));
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1::{self, NodeSummary};

    use super::{Cursor, Sort, Trails, order};
    use crate::commands::node::NodeReport;

    fn nodes() -> Vec<NodeReport> {
        let node = |name: &str, state: v1::NodeState, cpu: f32, disk: Option<f32>| NodeSummary {
            name: name.to_owned(),
            state: state.into(),
            cpu_percent: Some(cpu),
            disk_used_percent: disk,
            ..NodeSummary::default()
        };
        let mut nodes = vec![
            node("d", v1::NodeState::Down, 99.0, Some(99.0)),
            node("c", v1::NodeState::Up, 5.0, None),
            node("a", v1::NodeState::Up, 70.0, Some(10.0)),
            node("b", v1::NodeState::Up, 30.0, Some(90.0)),
        ];
        nodes[3].labels.insert("role".to_owned(), "Worker".to_owned());
        nodes[1].problems.push("the disk is slow".to_owned());
        nodes.into_iter().map(|node| NodeReport::new(node).unwrap()).collect()
    }

    #[test]
    fn golden() {
        let nodes = nodes();
        for (sort, inverted, filter, expected) in [
            (Sort::State, false, "", "dcab"),
            (Sort::State, true, "", "bacd"),
            (Sort::Name, false, "", "abcd"),
            (Sort::Name, true, "", "dcba"),
            (Sort::Cpu, false, "", "abcd"),
            (Sort::Cpu, true, "", "cbad"),
            (Sort::Disk, false, "", "bacd"),
            (Sort::Disk, true, "", "abcd"),
            (Sort::Memory, true, "", "abcd"),
            (Sort::State, false, "up", "cab"),
            (Sort::State, false, " ROLE=work", "b"),
            (Sort::State, false, "SLOW", "c"),
            (Sort::State, false, "nothing", ""),
        ] {
            let names: String =
                order(&nodes, sort, inverted, filter).iter().map(|place| nodes[*place].name.as_str()).collect();
            assert_eq!(names, expected, "{sort:?} {inverted} {filter:?}");
        }
    }

    #[test]
    fn one_comes_round() {
        let mut sort = Sort::State;
        for _ in 0..6 {
            assert_eq!(sort.step(1).back(), sort);
            sort = sort.step(1);
        }
        assert_eq!(sort, Sort::State);
    }

    #[test]
    fn trails_are_bounded_and_forget() {
        let mut trails = Trails::default();
        let nodes = nodes();
        (0..100).for_each(|_| trails.add(&nodes));
        assert_eq!(trails.of(&nodes[2].name, 1000), vec![Some(70.0); 60]);
        assert_eq!(trails.of(&nodes[2].name, 2), [Some(70.0); 2]);
        // A node that is gone has no figure of now.
        assert_eq!(trails.of(&nodes[0].name, 1), [None]);
        trails.add(&nodes[..1]);
        assert!(trails.of(&nodes[2].name, 9).is_empty());
    }

    #[test]
    fn what_is_chosen_stays_in_sight() {
        for (cursor, length, rows, at, offset) in [
            ((0, 0), 0, 5, 0, 0),
            ((3, 0), 10, 5, 3, 0),
            ((7, 0), 10, 5, 7, 3),
            ((2, 6), 10, 5, 2, 2),
            ((9, 5), 4, 5, 3, 0),
            ((9, 9), 10, 5, 9, 5),
            ((9, 0), 10, 0, 9, 9),
        ] {
            let mut settled = Cursor { at: cursor.0, offset: cursor.1 };
            settled.settle(length, rows);
            assert_eq!(settled, Cursor { at, offset }, "{cursor:?} of {length} in {rows}");
        }
    }
}
