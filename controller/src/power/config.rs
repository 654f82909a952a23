//! The `[power]` table: raw TOML, then values that can all be used. Times are given in seconds, fractions too.

mod checked;
mod raw;

pub(crate) use checked::selector;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rackhaven_proto::model::{Endpoint, LabelKey, LabelValue, Labels, MacAddress, NodeName};

use super::policy::{Policy, Stage, Wake};
use crate::nut::UpsConfig;
use crate::nut::facade::FacadeConfig;
use crate::witness::WitnessAddress;

pub use raw::RawPower;

/// The checked table.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerConfig {
    /// What the policy core goes by.
    pub policy: Policy,
    /// The UPSes, in order.
    pub upses: Vec<UpsConfig>,
    /// Between two readings on mains, and on battery, milliseconds.
    pub poll_ms: (u64, u64),
    /// Addresses that fall silent with mains.
    pub witnesses: Vec<WitnessAddress>,
    /// Between two looks at a witness, milliseconds.
    pub witness_every_ms: u64,
    /// The stages as configured, in the order in which they go down, with who belongs to them.
    pub stages: Vec<(Stage, Vec<Selector>)>,
    /// How single nodes are brought back.
    pub wake: BTreeMap<NodeName, WakeSetting>,
    /// More addresses that wake-up packets go to.
    pub wake_addresses: Vec<Endpoint>,
    /// The node on this machine.
    pub master: Master,
    /// The UPS as served to others.
    pub facade: Option<FacadeSettings>,
}

/// Which node the controller runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Master {
    /// The only one that has the boot id of this machine.
    Find,
    /// This one.
    Node(NodeName),
    /// None: this machine hangs on another supply.
    Elsewhere,
}

/// Whom a stage is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One node.
    Node(NodeName),
    /// All with this label.
    Label(LabelKey, LabelValue),
}

impl Selector {
    /// Whether a node is meant.
    pub fn matches(&self, node: &NodeName, labels: &Labels) -> bool {
        match self {
            Self::Node(name) => name == node,
            Self::Label(key, value) => labels.iter().any(|(k, v)| k == key && v == value),
        }
    }
}

/// How one node is brought back, where the admin says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeSetting {
    /// So, with the address that the node tells.
    How(Wake),
    /// By a packet to this address.
    Address(MacAddress),
}

/// The `[power.facade]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeSettings {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// What is served, and to whom.
    pub served: FacadeConfig,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::daemon::parse_toml;

    use super::{PowerConfig, RawPower};

    fn parse(text: &str) -> Result<PowerConfig, String> {
        parse_toml::<RawPower, PowerConfig>(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    /// Everything that the shipped file shows commented out is a key, and its value can be used.
    #[test]
    fn the_shipped_examples_are_good() {
        let shipped = include_str!("../../../packaging/controller.toml");
        let (_, power) = shipped.split_once("\n[power]\n").unwrap();
        let (power, _) = power.split_once("\n[log]\n").unwrap();
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(code) if !code.starts_with(' ') => code.to_owned(),
            _ => line.to_owned(),
        };
        let text = power.lines().map(uncommented).collect::<Vec<_>>().join("\n");
        let config = parse(&text.replace("[power.", "[")).unwrap();
        assert_eq!((config.upses.len(), config.stages.len(), config.witnesses.len()), (1, 1, 2));
        assert!(config.stages.first().is_some_and(|(stage, _)| stage.clients_ms == Some(60_000)));
        let defaults = parse("").unwrap();
        let times = |config: &PowerConfig| (config.policy.hold_ms, config.policy.steps.clone(), config.poll_ms);
        assert_eq!(times(&config), times(&defaults));
        assert_eq!(config.policy.margin_ms, defaults.policy.margin_ms);
        assert_eq!(config.policy.restore_charge_percent, defaults.policy.restore_charge_percent);
    }

    #[test]
    fn mistakes_are_named() {
        let ups = "[[ups]]\nname = 'ups@h'\n";
        for (text, message) in [
            ("hold_seconds = 61", "power.hold_seconds: 61 is not between 0 and 60"),
            ("charge_percent = 101", "power.charge_percent: 101 is not between 0 and 100"),
            ("minimum_supplies = 2", "power.minimum_supplies: 2 is not between 1 and the number of UPSes, 0"),
            ("[[ups]]\nname = 'ups'", "power.ups.name: \"ups\" is not such as ups@localhost or ups@nas:3493"),
            ("[[ups]]\nname = 'u@h'\nuser = 'x'", "power.ups.user: and password_file go together"),
            (
                "[[stage]]\nname = 'a b'",
                "power.stage.name: \"a b\" is not 1 to 32 letters, digits, hyphens and underscores",
            ),
            ("[[stage]]\nname = 'master'\nnodes = ['a']", "power.stage.name: \"master\" is taken"),
            ("[[stage]]\nname = 's'", "power.stage.s.nodes: names nobody: node names, or labels as key=value"),
            (
                "[[stage]]\nname = 's'\nnodes = ['a']\nneeds = ['mount:x']",
                "power.stage.s.needs: \"x\" is not an absolute path",
            ),
            ("[steps]\nsync_seconds = 0", "power.steps.sync_seconds: 0 is not between 0.1 and 3600"),
            (
                "[wake]\npi-1 = 'kick'",
                "power.wake.pi-1: \"kick\" is none of wake-on-lan, power-cycle, by-hand, and no MAC address",
            ),
            ("[facade]\nlisten = ['x']", "power.facade.listen: \"x\" is not ADDRESS:PORT, such as [::]:3493"),
            (
                &format!(
                    "[facade]\nlisten = ['[::]:3493']\n[[facade.user]]\nname = 'n'\npassword_file = '/p'\nstage = 'x'\n{ups}"
                ),
                "power.facade.user.stage: there is no stage \"x\"",
            ),
        ] {
            assert_eq!(parse(text), Err(format!("c.toml: {message}")), "{text}");
        }
    }
}
