//! Keeps the nodes informed of the supply, and looks whether those that fade are off.

use std::collections::BTreeMap;

use rackhaven_proto::model::{NodeName, PowerNotice};
use rackhaven_proto::v1::controller_message::Body as ToAgent;

use super::Input;
use super::core::Event;
use super::driver::Driver;

/// A node is told a new deadline if it has moved by so much, milliseconds.
const DEADLINE_MOVED_MS: u64 = 2000;
/// How often fading nodes are probed, milliseconds.
const PROBE_EVERY_MS: u64 = 500;

/// What a node was told last: the notice, and its deadline by the core's clock.
pub(super) type Told = BTreeMap<NodeName, (PowerNotice, Option<u64>)>;

impl Driver {
    /// Tells nodes of the supply, where that differs from what they were told.
    pub(super) fn tell_nodes(&mut self, notices: Vec<(NodeName, PowerNotice)>, now_ms: u64) {
        for (node, notice) in notices {
            let deadline = notice.alone.as_ref().map(|alone| now_ms.saturating_add(alone.begin_in_ms));
            if self.told.get(&node).is_some_and(|told| same(told, &notice, deadline)) {
                continue;
            }
            let Some(outbox) = self.parts.registry.outbox(&node) else { continue };
            if outbox.try_send(ToAgent::Power(notice.clone().into())) {
                self.told.insert(node, (notice, deadline));
            }
        }
    }

    pub(super) fn probe(&mut self, nodes: Vec<NodeName>, now_ms: u64) {
        if nodes.is_empty() || now_ms.saturating_sub(self.probed_ms) < PROBE_EVERY_MS {
            return;
        }
        self.probed_ms = now_ms;
        let inputs = self.parts.power.inputs.clone();
        for node in self.probes.look(nodes, &inputs) {
            // The queue is the driver's own: there must be no waiting for room in it.
            let _ = inputs.try_send(Input::Event(Event::NodeSilent { node }));
        }
    }
}

/// Whether a node knows this already: its deadline may differ by a little.
fn same((old, old_deadline): &(PowerNotice, Option<u64>), new: &PowerNotice, deadline: Option<u64>) -> bool {
    let near = match (old_deadline, deadline) {
        (Some(old), Some(new)) => old.abs_diff(new) <= DEADLINE_MOVED_MS,
        (None, None) => true,
        _ => false,
    };
    let order = |notice: &PowerNotice| notice.alone.as_ref().map(|alone| alone.order_id.clone());
    near && old.supply == new.supply && old.hold_k3s == new.hold_k3s && order(old) == order(new)
}
