use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rackhaven_proto::model::{Labels, NodeName, NodeState};
use rackhaven_proto::v1;

use super::core::{Condition, Scan};
use super::facts;
use super::forecast::Trend;
use super::rules::Rules;
use crate::config::Config;
use crate::core::Core;
use crate::fleet::{NodeView, Reading};
use crate::k3s::nodes;
use crate::power::view;

/// How often the controller's own disk is looked at, milliseconds.
const DISK_EVERY_MS: u64 = 10_000;

/// Looks at what the controller knows. What a sample shows is worked out once for each sample.
#[derive(Default)]
pub(super) struct Gatherer {
    samples: HashMap<NodeName, Seen>,
    /// By which configuration they were worked out.
    config: Option<Arc<Config>>,
    disk: Option<(u64, Option<f64>)>,
    /// As it was looked at last.
    pub(super) on_battery: bool,
    /// How many messages wait to be told, as it was counted last.
    pub(super) waiting: u64,
}

struct Seen {
    /// By the configuration as it is now.
    current: bool,
    reading: Arc<Reading>,
    labels: Labels,
    conditions: Vec<Condition>,
    /// How its file systems fill, by mount point.
    trends: BTreeMap<String, Trend>,
}

impl Gatherer {
    /// One look at all of it.
    pub(super) fn gather(&mut self, core: &Core, config: &Arc<Config>) -> Scan {
        let rules = &config.alerts.rules;
        if self.config.as_ref().is_none_or(|old| !Arc::ptr_eq(old, config)) {
            self.samples.values_mut().for_each(|seen| seen.current = false);
            self.config = Some(Arc::clone(config));
        }
        let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
        let mut scan = Scan::default();
        let ends = core.directory.node_certificate_ends();
        let views = core.registry.views(now_ms, wall_ms);
        self.samples.retain(|name, _| core.registry.contains(name.as_str()));
        for node in &views {
            let left_ms = ends.get(node.name.as_str()).map(|end_s| end_s.saturating_mul(1000).saturating_sub(wall_ms));
            facts::node(rules, node, left_ms, &mut scan);
            if matches!(node.state, NodeState::Up | NodeState::Suspect)
                && let Some(seen) = self.of_sample(rules, node, now_ms)
            {
                seen.conditions.iter().for_each(|condition| scan.add(condition.clone()));
                facts::forecast(rules, node, &seen.trends, &mut scan);
            }
        }
        let seen = nodes::Seen::new(core.k3s_nodes.look(Clone::clone), &views);
        facts::k3s(rules, &seen, &views, &mut scan);
        self.on_battery = false;
        if !config.power.upses.is_empty() {
            let power_ms = core.power.now_ms(core.clock.boot_ms());
            let status = core.power.look(|shared| view::status(shared, &config.power, power_ms, wall_ms, false));
            self.on_battery = status.supply() == v1::Supply::Battery;
            facts::power(rules, &status, &mut scan);
        }
        let troubles = core.backups.troubles();
        if !troubles.is_empty() {
            let labels: BTreeMap<_, _> = views.iter().map(|view| (view.name.clone(), view.labels.clone())).collect();
            facts::backups(rules, &troubles, &labels, &mut scan);
        }
        let ends_ms = core.server_certificate_ends_s.load(Ordering::Relaxed).saturating_mul(1000);
        let of_controller = facts::Controller {
            disk_percent: self.disk(core.store.folder(), now_ms),
            certificate_left_ms: ends_ms.saturating_sub(wall_ms),
            waiting: self.waiting,
            failing: core.alerts.failing_channels(),
        };
        facts::controller(rules, &of_controller, &mut scan);
        scan
    }

    fn of_sample(&mut self, rules: &Rules, view: &NodeView, now_ms: u64) -> Option<&Seen> {
        let reading = view.reading.as_ref()?;
        let known = self.samples.get(&view.name);
        if !known.is_some_and(|seen| seen.current && Arc::ptr_eq(&seen.reading, reading) && seen.labels == view.labels)
        {
            let sample = reading.sample().unwrap_or_default();
            let conditions = facts::sample(rules, view, &sample);
            let mut earlier = self.samples.remove(&view.name).map(|seen| seen.trends).unwrap_or_default();
            let trends = sample.file_systems.iter().filter_map(|fs| {
                let mut trend = earlier.remove(&fs.mount_point).unwrap_or_default();
                trend.add(now_ms, facts::used_percent(fs)?);
                Some((fs.mount_point.clone(), trend))
            });
            let trends = trends.collect();
            let (reading, labels) = (Arc::clone(reading), view.labels.clone());
            let seen = Seen { current: true, reading, labels, conditions, trends };
            self.samples.insert(view.name.clone(), seen);
        }
        self.samples.get(&view.name)
    }

    /// How full the disk of the state is, percent; none if that cannot be told.
    fn disk(&mut self, folder: &Path, now_ms: u64) -> Option<f64> {
        match self.disk {
            Some((looked_ms, percent)) if now_ms.saturating_sub(looked_ms) < DISK_EVERY_MS => percent,
            _ => {
                let percent = used_percent(folder);
                self.disk = Some((now_ms, percent));
                percent
            }
        }
    }
}

/// As `df` shows it.
fn used_percent(folder: &Path) -> Option<f64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    let used = found.blocks().saturating_sub(found.blocks_free());
    let whole = used.saturating_add(found.blocks_available());
    (whole > 0).then(|| used as f64 / whole as f64 * 100.0)
}
