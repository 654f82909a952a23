use rackhaven_proto::v1;

use super::catalogue::*;
use super::page::{Page, Value, ratio, seconds};
use super::snapshot::{NodeFigures, Snapshot};
use crate::fleet::NodeView;

/// The words of a node's state.
const STATES: [&str; 5] = ["up", "suspect", "down", "off", "unknown"];

/// The words of a unit's state that last.
const UNIT_STATES: [&str; 4] = ["active", "activating", "failed", "inactive"];

/// Writes all of the nodes.
pub(super) fn write(page: &mut Page, snapshot: &Snapshot) {
    let nodes = &snapshot.nodes;
    let wall_ms = snapshot.wall_unix_ms;
    of_node(page, &NODE_UP, nodes, |node| Some(node.is_up()));
    let mut states = page.family(&NODE_STATE);
    for node in nodes {
        states.put_one_of(&[node.view.name.as_str()], &STATES, node.view.state.as_str());
    }
    infos(page, nodes);
    let ago = |ms: u64| seconds(wall_ms.saturating_sub_unsigned(ms));
    of_node(page, &NODE_LAST_SEEN, nodes, |node| node.view.heard_ms_ago.map(ago));
    of_node(page, &NODE_SAMPLE_TIME, nodes, |node| node.view.sample_age_ms.map(ago));
    of_node(page, &NODE_CERTIFICATE, nodes, |node| node.certificate_ends_unix_ms.map(seconds));
    of_node(page, &NODE_SKEW, nodes, |node| node.view.skew_ms.filter(|_| node.is_up()).map(seconds));
    of_sample(page, &NODE_UPTIME, nodes, |sample| Some(sample.uptime_seconds));
    of_node(page, &NODE_CPUS, nodes, |node| node.view.facts.as_ref().map(|facts| facts.cpu_count));
    processor(page, nodes);
    memory(page, nodes);
    pressure(page, nodes);
    file_systems(page, nodes);
    devices(page, nodes);
    of_parts(page, &NODE_TEMPERATURE, nodes, |temperature: &v1::Temperature| Some(temperature.celsius));
    storage(page, nodes);
    board(page, nodes);
    of_sample(page, &NODE_FAILED_UNITS, nodes, |sample| sample.units.as_ref().map(|units| units.failed_count));
    let mut k3s = page.family(&NODE_K3S);
    for node in nodes {
        if let Some(unit) = node.sample.as_ref().and_then(|sample| sample.k3s.as_ref()) {
            k3s.put_one_of(&[node.view.name.as_str(), &unit.unit], &UNIT_STATES, &unit.state);
        }
    }
    let agent = |sample: &v1::Sample| sample.agent;
    of_sample(page, &NODE_AGENT_MEMORY, nodes, |sample| agent(sample).map(|agent| agent.resident_bytes));
    of_sample(page, &NODE_AGENT_CPU, nodes, |sample| agent(sample).map(|agent| ratio(agent.cpu_percent)));
}

fn of_node<V: Value>(
    page: &mut Page,
    family: &'static Family,
    nodes: &[NodeFigures],
    value: impl Fn(&NodeFigures) -> Option<V>,
) {
    let mut samples = page.family(family);
    for node in nodes {
        if let Some(value) = value(node) {
            samples.put(&[node.view.name.as_str()], value);
        }
    }
}

fn of_sample<V: Value>(
    page: &mut Page,
    family: &'static Family,
    nodes: &[NodeFigures],
    value: impl Fn(&v1::Sample) -> Option<V>,
) {
    of_node(page, family, nodes, |node| node.sample.as_ref().and_then(&value));
}

/// A part of a node, such as a disk.
trait Part: Sized {
    /// Those of a node.
    fn of(sample: &v1::Sample) -> &[Self];
    /// What it is called there.
    fn name(&self) -> &str;
}

impl Part for v1::Disk {
    fn of(sample: &v1::Sample) -> &[Self] {
        &sample.disks
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Part for v1::NetworkInterface {
    fn of(sample: &v1::Sample) -> &[Self] {
        &sample.networks
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Part for v1::Temperature {
    fn of(sample: &v1::Sample) -> &[Self] {
        &sample.temperatures
    }

    fn name(&self) -> &str {
        &self.sensor
    }
}

impl Part for v1::StorageHealth {
    fn of(sample: &v1::Sample) -> &[Self] {
        &sample.storage
    }

    fn name(&self) -> &str {
        &self.device
    }
}

fn of_parts<T: Part, V: Value>(
    page: &mut Page,
    family: &'static Family,
    nodes: &[NodeFigures],
    value: impl Fn(&T) -> Option<V>,
) {
    let mut samples = page.family(family);
    for node in nodes {
        for part in node.sample.as_ref().map_or(&[][..], T::of) {
            if let Some(value) = value(part) {
                samples.put(&[node.view.name.as_str(), part.name()], value);
            }
        }
    }
}

fn infos(page: &mut Page, nodes: &[NodeFigures]) {
    let mut infos = page.family(&NODE);
    for NodeFigures { view: NodeView { name, agent_version, facts, .. }, .. } in nodes {
        if let Some(facts) = facts {
            let labels = [name.as_str(), &facts.arch, agent_version, &facts.os, &facts.kernel, &facts.model];
            infos.put(&labels, true);
        }
    }
    let mut labels = page.family(&NODE_LABELS);
    for NodeFigures { view, .. } in nodes {
        let mut own: Vec<(String, &str)> = Vec::new();
        for (key, value) in view.labels.iter() {
            let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let name: String = "label_".chars().chain(key.as_str().chars().map(allowed)).collect();
            // Two keys may look the same then: the first counts.
            if !own.iter().any(|(taken, _)| *taken == name) {
                own.push((name, value.as_str()));
            }
        }
        labels.put_with(&[view.name.as_str()], own.iter().map(|(name, value)| (name.as_str(), *value)), true);
    }
}

fn processor(page: &mut Page, nodes: &[NodeFigures]) {
    of_sample(page, &NODE_CPU, nodes, |sample| sample.cpu.as_ref().map(|cpu| ratio(cpu.total_percent)));
    let mut cores = page.family(&NODE_CORE);
    for node in nodes {
        let percents = node.sample.as_ref().and_then(|sample| sample.cpu.as_ref()).map(|cpu| &cpu.core_percent);
        for (core, percent) in percents.into_iter().flatten().enumerate() {
            cores.put(&[node.view.name.as_str(), &core.to_string()], ratio(*percent));
        }
    }
    for (family, average) in [
        (&NODE_LOAD1, (|load| load.one) as fn(&v1::Load) -> f32),
        (&NODE_LOAD5, |load| load.five),
        (&NODE_LOAD15, |load| load.fifteen),
    ] {
        of_sample(page, family, nodes, |sample| sample.load.as_ref().map(average));
    }
}

fn memory(page: &mut Page, nodes: &[NodeFigures]) {
    for (family, figure) in [
        (&NODE_MEMORY, (|memory| memory.total_bytes) as fn(&v1::Memory) -> u64),
        (&NODE_MEMORY_AVAILABLE, |memory| memory.available_bytes),
        (&NODE_SWAP, |memory| memory.swap_total_bytes),
        (&NODE_SWAP_USED, |memory| memory.swap_used_bytes),
    ] {
        of_sample(page, family, nodes, |sample| sample.memory.as_ref().map(figure));
    }
}

fn pressure(page: &mut Page, nodes: &[NodeFigures]) {
    let mut samples = page.family(&NODE_PRESSURE);
    for node in nodes {
        let Some(pressure) = node.sample.as_ref().and_then(|sample| sample.pressure.as_ref()) else { continue };
        for (resource, waiting, percent) in [
            ("cpu", "some", pressure.cpu_some_percent),
            ("memory", "some", pressure.memory_some_percent),
            ("memory", "full", pressure.memory_full_percent),
            ("io", "some", pressure.io_some_percent),
            ("io", "full", pressure.io_full_percent),
        ] {
            if let Some(percent) = percent {
                samples.put(&[node.view.name.as_str(), resource, waiting], ratio(percent));
            }
        }
    }
}

fn file_systems(page: &mut Page, nodes: &[NodeFigures]) {
    for (family, figure) in [
        (&NODE_FS_SIZE, (|fs| Some(fs.total_bytes)) as fn(&v1::FileSystem) -> Option<u64>),
        (&NODE_FS_USED, |fs| Some(fs.used_bytes)),
        (&NODE_FS_AVAIL, |fs| Some(fs.available_bytes)),
        (&NODE_FS_INODES, |fs| fs.inodes_total),
        (&NODE_FS_INODES_USED, |fs| fs.inodes_used),
        (&NODE_FS_READ_ONLY, |fs| Some(fs.read_only.into())),
    ] {
        let mut samples = page.family(family);
        for node in nodes {
            for fs in node.sample.iter().flat_map(|sample| &sample.file_systems) {
                if let Some(value) = figure(fs) {
                    samples.put(&[node.view.name.as_str(), &fs.mount_point, &fs.fs_type], value);
                }
            }
        }
    }
}

fn devices(page: &mut Page, nodes: &[NodeFigures]) {
    of_parts(page, &NODE_DISK_READ, nodes, |disk: &v1::Disk| disk.read_bytes_total);
    of_parts(page, &NODE_DISK_WRITTEN, nodes, |disk: &v1::Disk| disk.written_bytes_total);
    of_parts(page, &NODE_DISK_BUSY, nodes, |disk: &v1::Disk| Some(ratio(disk.busy_percent)));
    of_parts(page, &NODE_NETWORK_RECEIVED, nodes, |network: &v1::NetworkInterface| network.received_bytes_total);
    of_parts(page, &NODE_NETWORK_SENT, nodes, |network: &v1::NetworkInterface| network.sent_bytes_total);
    of_parts(page, &NODE_NETWORK_ERRORS, nodes, |network: &v1::NetworkInterface| Some(network.errors_total));
}

fn storage(page: &mut Page, nodes: &[NodeFigures]) {
    let life = |storage: &v1::StorageHealth| storage.used_life_percent.map(ratio);
    of_parts(page, &NODE_STORAGE_FAILING, nodes, |storage: &v1::StorageHealth| Some(storage.failing));
    of_parts(page, &NODE_STORAGE_LIFE, nodes, life);
    of_parts(page, &NODE_STORAGE_SECTORS, nodes, |storage: &v1::StorageHealth| storage.bad_sectors);
    of_parts(page, &NODE_STORAGE_ERRORS, nodes, |storage: &v1::StorageHealth| storage.file_system_errors);
    of_parts(page, &NODE_STORAGE_TEMPERATURE, nodes, |storage: &v1::StorageHealth| storage.celsius);
}

fn board(page: &mut Page, nodes: &[NodeFigures]) {
    for (family, flag) in [
        (&NODE_UNDER_VOLTAGE, (|flags| flags.under_voltage_now) as fn(&v1::Throttling) -> bool),
        (&NODE_UNDER_VOLTAGE_BOOT, |flags| flags.under_voltage_since_boot),
        (&NODE_THROTTLED, |flags| flags.throttled_now),
        (&NODE_THROTTLED_BOOT, |flags| flags.throttled_since_boot),
        (&NODE_CAPPED, |flags| flags.frequency_capped_now),
        (&NODE_SOFT_LIMIT, |flags| flags.soft_temperature_limit_now),
    ] {
        of_sample(page, family, nodes, |sample| sample.throttling.as_ref().map(flag));
    }
}
