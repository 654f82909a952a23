use std::collections::BTreeMap;

use rackhaven_proto::model::{NodeName, NodeState};

use super::{kept_labels, of_rack, plain};
use crate::alerts::core::{Condition, Key, Scan};
use crate::alerts::rules::{Reached, Rule, Rules};
use crate::fleet::NodeView;
use crate::k3s::nodes::{NodeFacts, Seen};

/// What is wrong with K3s as its API tells it. What a node's agent has told of its unit comes first.
pub fn k3s(rules: &Rules, seen: &Seen, views: &[NodeView], scan: &mut Scan) {
    let known = &seen.known;
    if !known.configured {
        return;
    }
    let views: BTreeMap<&NodeName, &NodeView> = views.iter().map(|view| (&view.name, view)).collect();
    let silent = !known.problem.is_empty();
    let rule = rules.get(Rule::K3sApiUnreachable);
    if silent && rule.enabled {
        let text = format!("K3s's API does not answer: {}", known.problem);
        scan.add(of_rack(Rule::K3sApiUnreachable, "", Reached::stated(rule.severity), text));
    }
    for node in known.nodes.values() {
        let view = seen.names.get(&node.name).and_then(|name| views.get(name).copied());
        // Of one that is down or off other rules tell.
        let is_up = view.is_none_or(|view| matches!(view.state, NodeState::Up | NodeState::Suspect));
        let found = if silent { Vec::new() } else { ails(node, is_up) };
        for rule in [Rule::K3sNotReady, Rule::K3sCordoned] {
            let text = found.iter().find(|(of, _)| *of == rule).map(|(_, text)| text);
            match text {
                Some(text) => add(rules, rule, seen.name(node), view, text, scan),
                None if silent => scan.blind(rule, seen.name(node)),
                None => {}
            }
        }
    }
}

fn ails(node: &NodeFacts, is_up: bool) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    if node.ready != Some(true) && is_up {
        found.push((Rule::K3sNotReady, format!("K3s's API has it as not ready: {}", node.reason)));
    }
    if !node.schedulable {
        let by = node.mark.as_ref().map(|mark| format!(" by {}", mark.by)).unwrap_or_default();
        found.push((Rule::K3sCordoned, format!("cordoned{by}: no new pods come")));
    }
    found
}

fn add(rules: &Rules, rule: Rule, subject: &str, view: Option<&NodeView>, text: &str, scan: &mut Scan) {
    let key = Key { rule, subject: subject.to_owned(), instance: String::new() };
    let meant = view.map_or(rules.get(rule).enabled, |view| rules.looks_at(rule, &view.name, &view.labels));
    if meant && !scan.conditions.contains_key(&key) {
        scan.add(Condition {
            key,
            reached: Reached::stated(rules.get(rule).severity),
            value: None,
            text: plain(text),
            node: view.map(|view| view.name.to_string()),
            labels: view.map(|view| kept_labels(&view.labels)).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::{NodeFacts, NodeState, Rules, Scan, Seen, k3s};
    use crate::k3s::cordon::{By, Mark};
    use crate::k3s::nodes::Known;

    fn node(name: &str, ready: Option<bool>, by: Option<By>) -> NodeFacts {
        let mark = by.map(|by| Mark { by, boot_id: String::new(), unix_ms: 0 });
        let (reason, schedulable) = ("no network".to_owned(), mark.is_none());
        NodeFacts { name: name.to_owned(), ready, reason, mark, schedulable, ..NodeFacts::default() }
    }

    /// What is found and what cannot be looked at, with pi-1 in this state.
    fn found(nodes: Vec<NodeFacts>, problem: &str, state: NodeState) -> Vec<String> {
        let nodes = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let known = Known { configured: true, nodes, problem: problem.to_owned(), ..Known::default() };
        let (views, mut scan) = ([view(state)], Scan::default());
        k3s(&Rules::default(), &Seen::new(known, &views), &views, &mut scan);
        let told = scan.conditions.values().map(|it| format!("{}:{} {}", it.key.rule, it.key.subject, it.text));
        told.chain(scan.blind.iter().map(|(rule, subject)| format!("{rule}:{subject} ?"))).collect()
    }

    #[test]
    fn golden() {
        let ready = || node("pi-1", Some(true), None);
        assert!(found(vec![ready()], "", NodeState::Up).is_empty());
        for (ready, text) in [(Some(false), "no network"), (None, "no network")] {
            let told = found(vec![node("pi-1", ready, None)], "", NodeState::Up);
            assert_eq!(told, [format!("k3s-not-ready:pi-1 K3s's API has it as not ready: {text}")]);
            assert!(found(vec![node("pi-1", ready, None)], "", NodeState::Off).is_empty());
        }
        let cordoned = found(vec![node("pi-1", Some(true), Some(By::Power(3)))], "", NodeState::Up);
        assert_eq!(cordoned, ["k3s-cordoned:pi-1 cordoned by power/outage-3: no new pods come"]);
        // One without an agent.
        let told = found(vec![node("far", Some(false), None)], "", NodeState::Up);
        assert_eq!(told, ["k3s-not-ready:far K3s's API has it as not ready: no network"]);
        // What was so before is neither so nor over.
        let told = found(vec![ready()], "no route", NodeState::Up);
        let silent = "k3s-api-unreachable: K3s's API does not answer: no route";
        assert_eq!(told, [silent, "k3s-not-ready:pi-1 ?", "k3s-cordoned:pi-1 ?"]);
    }
}
