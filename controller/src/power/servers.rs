//! What K3s asks of the order of stages. Pure.

use std::collections::BTreeMap;

use rackhaven_proto::model::NodeName;

use super::policy::Roster;

/// What K3s makes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum K3sRole {
    /// Its API is there.
    Server,
    /// It needs that of others.
    Agent,
}

/// What an admin should know of the stages: the last server is needed for as long as agents are drained.
pub fn warnings(roster: &Roster, roles: &BTreeMap<NodeName, K3sRole>) -> Vec<String> {
    let stages = |wanted: K3sRole| {
        let of_role = roles.iter().filter(move |(_, role)| **role == wanted);
        of_role.filter_map(|(node, _)| Some((roster.members.get(node)?.stage, node)))
    };
    let Some((last_server, _)) = stages(K3sRole::Server).max() else { return Vec::new() };
    let late: Vec<&str> =
        stages(K3sRole::Agent).filter(|(stage, _)| *stage > last_server).map(|(_, node)| node.as_str()).collect();
    if late.is_empty() {
        return Vec::new();
    }
    let names = late.join(", ");
    vec![format!("{names}: cannot be drained, for all of K3s's servers go down in an earlier stage")]
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Member, Wake};
    use super::{K3sRole, NodeName, Roster, warnings};

    fn told(nodes: &[(&str, usize, Option<K3sRole>)]) -> Vec<String> {
        let name = |text: &str| -> NodeName { text.parse().unwrap() };
        let member = |stage| Member { stage, wake: Wake::PowerCycle, master: false, mounts_ready: true };
        let members = nodes.iter().map(|(node, stage, _)| (name(node), member(*stage))).collect();
        let roles = nodes.iter().filter_map(|(node, _, role)| Some((name(node), (*role)?))).collect();
        warnings(&Roster { members, ..Roster::default() }, &roles)
    }

    #[test]
    fn golden() {
        use K3sRole::{Agent, Server};
        for nodes in [
            vec![],
            vec![("a", 1, Some(Agent)), ("s", 1, Some(Server))],
            vec![("a", 1, Some(Agent)), ("s", 2, Some(Server)), ("nas", 3, None)],
            // One that is left is enough for an answer.
            vec![("s", 0, Some(Server)), ("a", 1, Some(Agent)), ("t", 2, Some(Server))],
            // The API is elsewhere.
            vec![("a", 1, Some(Agent))],
        ] {
            assert!(told(&nodes).is_empty(), "{nodes:?}");
        }
        assert_eq!(
            told(&[("s", 1, Some(Server)), ("a", 2, Some(Agent)), ("b", 2, Some(Agent)), ("c", 0, Some(Agent))]),
            ["a, b: cannot be drained, for all of K3s's servers go down in an earlier stage"]
        );
    }
}
