//! Cordons and uncordons over the API.

use std::time::Duration;

use super::{By, Cordoning, forget_patch, to_cordon, uncordon_patch};
use crate::k3s::api::{ApiError, Cluster};
use crate::k3s::nodes::NodeFacts;

/// So often it is tried anew when somebody else has changed the node meanwhile; its kubelet does so now and then.
const TRIES: usize = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is as it was wanted, by us.
    Changed,
    /// It was so already, by us or, uncordoned, by anybody.
    Unchanged,
    /// It was cordoned by somebody else, and is not ours to welcome.
    Others,
    /// There is no such node.
    Absent,
}

/// Keeps new pods away from a node, and marks it as ours if it was not cordoned.
///
/// # Errors
/// When the API cannot be asked, or refuses.
pub async fn cordon(cluster: &Cluster, name: &str, by: &By, unix_ms: i64) -> Result<Done, ApiError> {
    let patch = |node: &NodeFacts| match to_cordon(node, by, unix_ms) {
        Cordoning::Patch(mark) => Ok(mark.patch(&node.resource_version)),
        Cordoning::Ours => Err(Done::Unchanged),
        Cordoning::Others => Err(Done::Others),
    };
    change(cluster, name, patch).await
}

/// Lets new pods come to a node again, whoever kept them away.
///
/// # Errors
/// When the API cannot be asked, or refuses.
pub async fn uncordon(cluster: &Cluster, name: &str) -> Result<Done, ApiError> {
    let patch = |node: &NodeFacts| match (node.schedulable, &node.mark) {
        (true, None) => Err(Done::Unchanged),
        (true, Some(_)) => Ok(forget_patch(&node.resource_version)),
        (false, _) => Ok(uncordon_patch(&node.resource_version)),
    };
    change(cluster, name, patch).await
}

/// Lets new pods come to a node again if they were kept away for this; else it stays as it is.
///
/// # Errors
/// When the API cannot be asked, or refuses.
pub async fn uncordon_ours(cluster: &Cluster, name: &str, by: &By) -> Result<Done, ApiError> {
    let patch = |node: &NodeFacts| match (node.schedulable, &node.mark) {
        (true, _) => Err(Done::Unchanged),
        (false, Some(mark)) if mark.by == *by => Ok(uncordon_patch(&node.resource_version)),
        (false, _) => Err(Done::Others),
    };
    change(cluster, name, patch).await
}

/// Patches a node as it is now; again if somebody was faster.
async fn change(
    cluster: &Cluster,
    name: &str,
    patch: impl Fn(&NodeFacts) -> Result<serde_json::Value, Done>,
) -> Result<Done, ApiError> {
    let mut tried = 0;
    loop {
        let Some(node) = cluster.node(name).await? else { return Ok(Done::Absent) };
        let patch = match patch(&NodeFacts::new(&node)) {
            Ok(patch) => patch,
            Err(done) => return Ok(done),
        };
        tried += 1;
        match cluster.patch_node(name, &patch).await {
            Ok(_) => return Ok(Done::Changed),
            Err(error) if error.is_conflict() && tried < TRIES => tokio::time::sleep(PAUSE).await,
            Err(error) if error.is_not_found() => return Ok(Done::Absent),
            Err(error) => return Err(error),
        }
    }
}
