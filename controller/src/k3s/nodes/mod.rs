//! The cluster's nodes, as its API tells of them.

mod facts;
mod keep;
mod known;

use std::collections::BTreeMap;

use rackhaven_proto::model::NodeName;

pub use facts::{NodeFacts, find};
pub use keep::keep;
pub use known::{Known, Nodes};

use crate::core::Core;
use crate::fleet::NodeView;
use crate::power::servers::K3sRole;

/// The cluster, with the fleet's names for its nodes.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// As the API told it.
    pub known: Known,
    /// The fleet's name for each of its nodes that is one of the fleet, by the cluster's name.
    pub names: BTreeMap<String, NodeName>,
}

impl Seen {
    /// From what is known of both.
    pub fn new(known: Known, views: &[NodeView]) -> Self {
        let mut names = BTreeMap::new();
        for view in views {
            let hostname = view.facts.as_ref().map_or("", |facts| facts.hostname.as_str());
            if let Some(node) = find(&known.nodes, view.name.as_str(), hostname) {
                names.insert(node.name.clone(), view.name.clone());
            }
        }
        Self { known, names }
    }

    /// The fleet's name for a node of the cluster, or else the cluster's.
    pub fn name<'a>(&'a self, node: &'a NodeFacts) -> &'a str {
        self.names.get(&node.name).map_or(&node.name, |name| name.as_str())
    }
}

/// What the fleet calls a node of the cluster; none if it is none of the fleet.
pub fn fleet_name(core: &Core, node: &NodeFacts) -> Option<NodeName> {
    if let Some(name) = node.name.parse().ok().filter(|name: &NodeName| core.registry.contains(name.as_str())) {
        return Some(name);
    }
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let has = |hostname: &str| node.is("", hostname);
    views.into_iter().find(|view| view.facts.as_ref().is_some_and(|facts| has(&facts.hostname))).map(|view| view.name)
}

/// What K3s makes of the fleet's nodes: as their agents tell by its unit, else as the API does.
pub fn roles(core: &Core) -> BTreeMap<NodeName, K3sRole> {
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let seen = Seen::new(core.k3s_nodes.look(Clone::clone), &views);
    let of_server = |server: bool| if server { K3sRole::Server } else { K3sRole::Agent };
    let of_api = seen.known.nodes.values().filter_map(|node| {
        let name = seen.names.get(&node.name)?;
        Some((name.clone(), of_server(node.server)))
    });
    let mut roles: BTreeMap<_, _> = of_api.collect();
    for view in &views {
        if let Some(unit) = view.reading.as_deref().and_then(|reading| reading.sample()?.k3s) {
            roles.insert(view.name.clone(), of_server(unit.unit == "k3s"));
        }
    }
    roles
}

/// What the cluster calls a node of the fleet; none if it does not know it.
pub fn cluster_name(core: &Core, node: &NodeName) -> Option<String> {
    let view = core.registry.view(node, core.clock.monotonic_ms(), core.clock.wall_ms());
    let hostname = view.and_then(|view| view.facts).map(|facts| facts.hostname.clone()).unwrap_or_default();
    core.k3s_nodes.look(|known| find(&known.nodes, node.as_str(), &hostname).map(|facts| facts.name.clone()))
}
