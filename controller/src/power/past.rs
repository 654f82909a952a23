//! Outages as the store has them, for people. Pure.

use rackhaven_proto::v1;

use super::view::line;
use crate::store::{OutageRow, TimelineRow};

/// An outage from its record. Its nodes are those of which the timeline tells; their stages are those of now, by
/// `stage_of`.
pub fn past_outage(row: OutageRow, timeline: Vec<TimelineRow>, stage_of: impl Fn(&str) -> String) -> v1::Outage {
    let mut nodes: Vec<v1::OutageNode> = Vec::new();
    for event in timeline.iter().filter(|event| !event.node.is_empty()) {
        let place = nodes.iter().position(|node| node.name == event.node).unwrap_or_else(|| {
            let stage = stage_of(&event.node);
            let step = v1::StepKind::Unspecified.into();
            nodes.push(v1::OutageNode { name: event.node.clone(), stage, state: "running".to_owned(), step });
            nodes.len() - 1
        });
        if let (Some(node), Some(state)) = (nodes.get_mut(place), state_after(&event.kind)) {
            node.state = state.to_owned();
        }
    }
    v1::Outage {
        number: row.number,
        kind: row.kind,
        cause: row.cause,
        begun_unix_ms: row.begun_ms,
        ended_unix_ms: row.ended_ms,
        nodes,
        events: timeline.into_iter().map(line).collect(),
    }
}

/// A node's state after an event; none if that says nothing of it.
fn state_after(kind: &str) -> Option<&'static str> {
    match kind {
        "node.ordered" | "master.ordered" => Some("ordered"),
        "node.step" => Some("stopping"),
        "node.powering-off" => Some("powering-off"),
        "node.off" => Some("off"),
        "node.missing" => Some("missing"),
        "node.returning" => Some("returning"),
        "node.back" | "node.aborted" => Some("back"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::past_outage;
    use crate::store::{OutageRow, TimelineRow};

    #[test]
    fn its_nodes_are_those_that_the_timeline_tells_of() {
        let row = OutageRow { number: 7, kind: "mains".into(), cause: "x".into(), begun_ms: 5, ended_ms: Some(9) };
        let told = [
            ("", "outage.on-battery"),
            ("pi-1", "node.ordered"),
            ("nas", "master.ordered"),
            ("pi-1", "node.step"),
            ("pi-1", "node.powering-off"),
            ("nas", "node.failed"),
            ("pi-1", "node.off"),
            ("pi-1", "node.waking"),
            ("pi-2", "node.later-kind"),
        ];
        let line = |(node, kind): &(&str, &str)| TimelineRow {
            outage: 7,
            at_ms: 0,
            wall_ms: 0,
            node: (*node).to_owned(),
            kind: (*kind).to_owned(),
            message: String::new(),
        };
        let outage = past_outage(row, told.iter().map(line).collect(), |node| format!("of {node}"));
        let nodes: Vec<_> =
            outage.nodes.iter().map(|node| (node.name.as_str(), node.stage.as_str(), node.state.as_str())).collect();
        let expected = [("pi-1", "of pi-1", "off"), ("nas", "of nas", "ordered"), ("pi-2", "of pi-2", "running")];
        assert_eq!(nodes, expected);
        assert_eq!((outage.number, outage.ended_unix_ms, outage.events.len()), (7, Some(9), told.len()));
    }
}
