//! The cluster's nodes, as its API tells of them.

mod facts;
mod keep;
mod known;

use rackhaven_proto::model::NodeName;

pub use facts::{NodeFacts, find};
pub use keep::keep;
pub use known::{Known, Nodes};

use crate::core::Core;

/// What the fleet calls a node of the cluster; none if it is none of the fleet.
pub fn fleet_name(core: &Core, node: &NodeFacts) -> Option<NodeName> {
    if let Some(name) = node.name.parse().ok().filter(|name: &NodeName| core.registry.contains(name.as_str())) {
        return Some(name);
    }
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let has = |hostname: &str| node.is("", hostname);
    views.into_iter().find(|view| view.facts.as_ref().is_some_and(|facts| has(&facts.hostname))).map(|view| view.name)
}

/// What the cluster calls a node of the fleet; none if it does not know it.
pub fn cluster_name(core: &Core, node: &NodeName) -> Option<String> {
    let view = core.registry.view(node, core.clock.monotonic_ms(), core.clock.wall_ms());
    let hostname = view.and_then(|view| view.facts).map(|facts| facts.hostname.clone()).unwrap_or_default();
    core.k3s_nodes.look(|known| find(&known.nodes, node.as_str(), &hostname).map(|facts| facts.name.clone()))
}
