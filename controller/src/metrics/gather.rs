use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rackhaven_proto::model::Verdict;
use rackhaven_proto::v1;

use super::process;
use super::snapshot::{ControllerFigures, NodeFigures, Snapshot};
use crate::core::Core;
use crate::k3s::nodes::Seen;
use crate::service;

/// A sample that is older than so many were to come since is not so now.
const SAMPLES_MISSED: u64 = 3;

/// Looks at all that the controller knows. `outbox`: how much waits for each channel; none if the store does not tell.
pub(super) fn gather(core: &Core, outbox: Option<BTreeMap<String, u64>>, started_unix_ms: i64) -> Snapshot {
    let config = core.config.load_full();
    let whole = service::whole(core);
    let fresh_ms = (u64::from(config.session.sample_ms) * SAMPLES_MISSED).max(core.thresholds().down_ms);
    let nodes = whole.nodes.into_iter().map(|node| {
        let ends_ms = (node.certificate_ends_ms != 0).then_some(node.certificate_ends_ms);
        NodeFigures::new(node.view, ends_ms, fresh_ms)
    });
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_by(|a, b| a.view.name.cmp(&b.view.name));
    let views: Vec<_> = nodes.iter().map(|node| node.view.clone()).collect();
    let k3s = Seen::new(core.k3s_nodes.look(Clone::clone), &views);
    let mut alerts = BTreeMap::new();
    for alert in core.alerts.look().firing() {
        *alerts.entry((alert.key.rule, alert.severity)).or_default() += 1;
    }
    let outbox = outbox.map(|mut waiting| {
        for channel in &config.alerts.channels {
            waiting.entry(channel.name().to_owned()).or_default();
        }
        waiting
    });
    Snapshot {
        wall_unix_ms: core.clock.wall_ms(),
        cluster: core.cluster.name.clone(),
        cluster_id: core.cluster.id.clone(),
        verdict: match whole.verdict {
            v1::Verdict::Ok => Verdict::Ok,
            v1::Verdict::Degraded => Verdict::Degraded,
            v1::Verdict::Critical | v1::Verdict::Unspecified => Verdict::Critical,
        },
        nodes,
        k3s,
        power: whole.power,
        backups: core.backups.list(&[]),
        alerts,
        outbox,
        controller: controller(core, started_unix_ms),
    }
}

fn controller(core: &Core, started_unix_ms: i64) -> ControllerFigures {
    let disk = nix::sys::statvfs::statvfs(core.store.folder()).ok();
    ControllerFigures {
        connections: core.connections.count() as u64,
        certificate_ends_unix_ms: core.server_certificate_ends_s.load(Ordering::Relaxed).saturating_mul(1000),
        disk: disk.map(|disk| (disk.blocks() * disk.fragment_size(), disk.blocks_available() * disk.fragment_size())),
        databases: core.store.sizes(),
        cpu_ms: process::cpu_ms(),
        resident_bytes: process::resident_bytes(),
        open_fds: process::open_fds(),
        max_fds: process::max_fds(),
        started_unix_ms,
    }
}
