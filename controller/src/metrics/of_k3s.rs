use super::catalogue::*;
use super::page::Page;
use crate::k3s::nodes::Seen;

/// Writes all of K3s's nodes, as its API tells of them.
pub(super) fn write(page: &mut Page, seen: &Seen) {
    let known = &seen.known;
    if !known.configured {
        return;
    }
    let answers = known.problem.is_empty() && known.heard_ms.is_some();
    page.single(&K3S_API, answers);
    if !answers {
        return;
    }
    let mut infos = page.family(&K3S_NODE);
    for node in known.nodes.values() {
        let role = if node.server { "server" } else { "agent" };
        infos.put(&[seen.name(node), &node.name, role, &node.version], true);
    }
    let mut ready = page.family(&K3S_READY);
    for node in known.nodes.values() {
        ready.put(&[seen.name(node)], node.ready == Some(true));
    }
    let mut schedulable = page.family(&K3S_SCHEDULABLE);
    for node in known.nodes.values() {
        schedulable.put(&[seen.name(node)], node.schedulable);
    }
    let mut pods = page.family(&K3S_PODS);
    for (node, counts) in known.nodes.values().filter_map(|node| Some((node, known.pods.as_ref()?))) {
        pods.put(&[seen.name(node)], u64::from(counts.get(&node.name).copied().unwrap_or_default()));
    }
}
