//! Sees to the marks on nodes: those that were cordoned for their way down are welcome again when they are back.
//!
//! The marks are all that is remembered. A controller that was killed at any instant reads them from the nodes.

use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::Severity;

use super::{Fleet, Todo, forget_patch, to_do, uncordon_patch};
use crate::core::Core;
use crate::k3s::api::Cluster;
use crate::k3s::nodes::NodeFacts;

/// How often marks are looked at while there are some: the fleet changes without the API's knowing.
const EVERY: Duration = Duration::from_secs(1);
/// For so long the API is waited for with each.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until the controller ends.
pub async fn settle(core: Arc<Core>) {
    let mut changes = core.k3s_nodes.changes();
    loop {
        changes.mark_unchanged();
        let marked: Vec<NodeFacts> =
            core.k3s_nodes.look(|known| known.nodes.values().filter(|node| node.mark.is_some()).cloned().collect());
        if marked.is_empty() {
            // The sender lives as long as the core.
            let _ = changes.changed().await;
            continue;
        }
        if let Ok(Some(cluster)) = core.k3s.cluster() {
            for node in marked {
                see_to(&core, &cluster, &node).await;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn see_to(core: &Core, cluster: &Cluster, node: &NodeFacts) {
    // Asked now, not when the round began: an order may have gone out meanwhile.
    let patch = match to_do(node, &fleet(core, node)) {
        Todo::Nothing => return,
        Todo::Wait(why) => return tracing::trace!(node = node.name, why, "still cordoned"),
        Todo::Uncordon => uncordon_patch(&node.resource_version),
        Todo::Forget => forget_patch(&node.resource_version),
    };
    match tokio::time::timeout(PATIENCE, cluster.patch_node(&node.name, &patch)).await {
        Ok(Ok(fresh)) => {
            let by = node.mark.as_ref().map(|mark| mark.by.to_string()).unwrap_or_default();
            core.k3s_nodes.put(NodeFacts::new(&fresh));
            if !node.schedulable {
                let message = format!("pods may come to {} again; they were kept away for {by}", node.name);
                let name = super::super::nodes::fleet_name(core, node);
                core.events.observe(&core.clock, name.as_ref(), "k3s.uncordoned", Severity::Info, message).await;
            }
        }
        // It is looked at again as it is now.
        Ok(Err(error)) if error.is_conflict() || error.is_not_found() => {}
        Ok(Err(error)) => tracing::debug!(node = node.name, %error, "pods cannot be let in again yet"),
        Err(_) => tracing::debug!(node = node.name, "the API does not answer; pods are let in again later"),
    }
}

/// What the fleet knows of a node of the cluster.
fn fleet(core: &Core, node: &NodeFacts) -> Fleet {
    match super::super::nodes::fleet_name(core, node) {
        None => Fleet::Stranger { outage: core.power.goes_on() },
        Some(name) => {
            let view = core.registry.view(&name, core.clock.monotonic_ms(), core.clock.wall_ms());
            let facts = view.and_then(|view| view.facts);
            Fleet::Node {
                stays: core.power.look(|shared| shared.core.may_welcome(&name)),
                boot_id: facts.map(|facts| facts.boot_id.clone()).unwrap_or_default(),
            }
        }
    }
}
