use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rackhaven_proto::v1::backup_change::Change;

use super::Backups;

/// A node that has not begun a run so long after its order, milliseconds, will not begin it any more: the order has
/// expired before.
const UNHEARD_MS: u64 = 90_000;
/// Longest that an order is remembered, milliseconds.
const REMEMBERED_MS: u64 = 7 * 24 * 3_600_000;
/// Most orders that are remembered.
const MAX_ORDERS: usize = 10_000;

/// An order to begin a run, of which no end was told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Who was told.
    pub node: NodeName,
    /// Which job.
    pub job: String,
    /// What to do.
    pub action: &'static str,
    /// When, the controller's monotonic milliseconds.
    pub sent_ms: u64,
    /// The node was heard of it.
    pub heard: bool,
}

impl Backups {
    /// Notes an order before it is sent; false if there are too many.
    pub fn ordered(&self, run_id: String, order: Ordered) -> bool {
        let orders = &mut self.lock().orders;
        let room = orders.len() < MAX_ORDERS;
        if room {
            orders.insert(run_id, order);
        }
        room
    }

    /// An order could not be sent.
    pub fn not_ordered(&self, run_id: &str) {
        self.lock().orders.remove(run_id);
    }

    /// Who runs this, or was ordered to; none if it has ended, or never was.
    pub fn whose(&self, run_id: &str) -> Option<NodeName> {
        let inner = self.lock();
        if let Some(order) = inner.orders.get(run_id) {
            return Some(order.node.clone());
        }
        inner.running.keys().find(|(_, id)| id == run_id).map(|(node, _)| node.clone())
    }

    /// Gives up orders that no node has begun, and tells who watches.
    pub fn expire(&self, now_ms: u64, wall_ms: i64) {
        let mut lost = Vec::new();
        self.lock().orders.retain(|run_id, order| {
            let age_ms = now_ms.saturating_sub(order.sent_ms);
            let given_up = !order.heard && age_ms > UNHEARD_MS;
            if given_up {
                lost.push((run_id.clone(), order.clone()));
            }
            !given_up && age_ms < REMEMBERED_MS
        });
        for (run_id, order) in lost {
            let run = v1::BackupRun {
                run_id,
                job: order.job,
                action: order.action.to_owned(),
                trigger: "order".to_owned(),
                started_unix_ms: wall_ms,
                ended_unix_ms: wall_ms,
                outcome: v1::BackupOutcome::Refused.into(),
                message: "the node did not begin it in time".to_owned(),
                ..v1::BackupRun::default()
            };
            self.tell(&order.node, Change::Ended(run));
        }
    }
}
