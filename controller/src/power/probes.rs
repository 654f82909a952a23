//! Confirms that a node is off: its session has ended, and nothing at its address answers any more.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rackhaven_proto::model::NodeName;
use tokio::sync::mpsc;

use super::Input;
use crate::reach;

/// So many probes in a row must stay without an answer.
const SILENT_PROBES: u32 = 2;

/// Where nodes were last, and how long they have been silent there.
#[derive(Debug, Default)]
pub(super) struct Probes {
    addresses: BTreeMap<NodeName, IpAddr>,
    silent: BTreeMap<NodeName, u32>,
    asking: std::collections::BTreeSet<NodeName>,
}

impl Probes {
    /// A node is there.
    pub(super) fn up(&mut self, node: &NodeName, address: Option<IpAddr>) {
        self.silent.remove(node);
        match address {
            Some(address) => drop(self.addresses.insert(node.clone(), address)),
            None => drop(self.addresses.remove(node)),
        }
    }

    /// What a probe found; whether the node counts as silent now.
    pub(super) fn answered(&mut self, node: &NodeName, answers: bool) -> bool {
        self.asking.remove(node);
        if answers {
            self.silent.remove(node);
            return false;
        }
        let count = self.silent.entry(node.clone()).or_default();
        *count += 1;
        *count >= SILENT_PROBES
    }

    /// Looks at these nodes; those that cannot be told from this host count as silent, and come back at once.
    pub(super) fn look(&mut self, nodes: Vec<NodeName>, inputs: &mpsc::Sender<Input>) -> Vec<NodeName> {
        let mut silent = Vec::new();
        for node in nodes {
            match self.addresses.get(&node) {
                Some(address) if !address.is_loopback() => {
                    if self.asking.insert(node.clone()) {
                        let (address, inputs) = (*address, inputs.clone());
                        tokio::spawn(async move {
                            let answers = reach::answers(address).await;
                            // The driver ends with the controller only.
                            let _ = inputs.send(Input::Probed(node, answers)).await;
                        });
                    }
                }
                _ => silent.push(node),
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::{Probes, SILENT_PROBES};

    #[test]
    fn silence_is_believed_at_the_second_look() {
        let node = "pi-1".parse().unwrap();
        let mut probes = Probes::default();
        probes.up(&node, Some("192.0.2.1".parse().unwrap()));
        assert!(!probes.answered(&node, false));
        assert!(!probes.answered(&node, true));
        for look in 1..=SILENT_PROBES {
            assert_eq!(probes.answered(&node, false), look == SILENT_PROBES);
        }
    }
}
