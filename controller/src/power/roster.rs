//! The fleet as the plan sees it: which node belongs to which stage, and how it is brought back.

use rackhaven_proto::model::{MacAddress, NodeName};

use super::config::{Master, PowerConfig, WakeSetting};
use super::policy::{Member, Need, Roster, Stage, Wake};
use crate::fleet::NodeView;

/// The stage of whoever is in none.
const OTHERS: &str = "others";
/// The last stage.
const MASTER: &str = "master";

/// Sorts the nodes into the stages. Whoever is in none goes first; the master goes last.
pub fn roster(config: &PowerConfig, views: &[NodeView], boot_id: &str) -> Roster {
    let master = find_master(&config.master, views, boot_id);
    let mut stages = vec![plain(OTHERS)];
    stages.extend(config.stages.iter().map(|(stage, _)| stage.clone()));
    stages.push(plain(MASTER));
    let mut members = std::collections::BTreeMap::new();
    for view in views {
        let is_master = master.as_ref() == Some(&view.name);
        let chosen = config
            .stages
            .iter()
            .position(|(_, selectors)| selectors.iter().any(|selector| selector.matches(&view.name, &view.labels)));
        let stage = if is_master { stages.len() - 1 } else { chosen.map_or(0, |index| index + 1) };
        let mounts_ready = stages.get(stage).is_none_or(|stage| mounted(view, stage));
        let wake = wake(config, view);
        members.insert(view.name.clone(), Member { stage, wake, master: is_master, mounts_ready });
    }
    Roster { stages, host_safe: master.is_some() || config.master == Master::Elsewhere, members }
}

fn plain(name: &str) -> Stage {
    Stage { name: name.to_owned(), cap_ms: None, shed: None, needs: Vec::new(), clients_ms: None }
}

fn find_master(master: &Master, views: &[NodeView], boot_id: &str) -> Option<NodeName> {
    let here = |view: &&NodeView| view.facts.as_ref().is_some_and(|facts| facts.boot_id == boot_id);
    match master {
        Master::Elsewhere => None,
        Master::Node(name) => views.iter().find(|view| view.name == *name).map(|view| view.name.clone()),
        Master::Find => {
            // Several on one boot are containers of one host: none of them is it.
            let mut found = views.iter().filter(here);
            found.next().filter(|_| !boot_id.is_empty() && found.next().is_none()).map(|view| view.name.clone())
        }
    }
}

fn mounted(view: &NodeView, stage: &Stage) -> bool {
    let sample = view.reading.as_deref().and_then(|reading| reading.sample());
    stage.needs.iter().all(|need| match need {
        Need::Node(_) => true,
        Need::Mount(path) => {
            sample.as_ref().is_some_and(|sample| sample.file_systems.iter().any(|fs| fs.mount_point == *path))
        }
    })
}

fn wake(config: &PowerConfig, view: &NodeView) -> Wake {
    match config.wake.get(&view.name) {
        Some(WakeSetting::How(how)) => *how,
        Some(WakeSetting::Address(_)) => Wake::WakeOnLan,
        None if view.facts.as_ref().is_some_and(|facts| !facts.wake_macs.is_empty()) => Wake::WakeOnLan,
        None => Wake::PowerCycle,
    }
}

/// The addresses by which a node is woken.
pub(super) fn wake_macs(config: &PowerConfig, view: &NodeView) -> Vec<MacAddress> {
    match config.wake.get(&view.name) {
        Some(WakeSetting::Address(address)) => vec![*address],
        _ => view.facts.as_ref().map_or_else(Vec::new, |facts| facts.wake_macs.clone()),
    }
}
