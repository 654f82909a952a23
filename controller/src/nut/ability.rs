use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::reading::seconds;

/// How a UPS can be told to cut the load after a delay and to bring it back when mains is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutAbility {
    /// `shutdown.return`, or `load.off.delay` where the UPS knows `load.on.delay` as well: the two together are what
    /// NUT's drivers make of `shutdown.return`, while the first alone leaves the load off for ever. For the same reason
    /// neither `shutdown.stayoff` nor the undelayed `load.off` is ever used.
    pub command: String,
    /// `ups.delay.shutdown`: from the command to the cut, seconds.
    pub delay_s: Option<u32>,
    /// Whether that can be set.
    pub delay_settable: bool,
    /// `ups.delay.start`: from the return of mains to that of the load, seconds.
    pub start_delay_s: Option<u32>,
}

impl CutAbility {
    /// The variable that holds the delay.
    pub const DELAY: &str = "ups.delay.shutdown";

    pub(super) fn find(
        vars: &BTreeMap<String, String>,
        commands: &BTreeSet<String>,
        settable: &BTreeSet<String>,
    ) -> Option<Self> {
        let knows = |command: &str| commands.contains(command);
        let command = if knows("shutdown.return") {
            "shutdown.return"
        } else if knows("load.off.delay") && knows("load.on.delay") {
            "load.off.delay"
        } else {
            return None;
        };
        Some(Self {
            command: command.to_owned(),
            delay_s: seconds(vars, Self::DELAY, 0.0),
            delay_settable: settable.contains(Self::DELAY),
            start_delay_s: seconds(vars, "ups.delay.start", 0.0),
        })
    }

    /// The commands to send, in order.
    pub fn commands(&self) -> &'static [&'static str] {
        if self.command == "load.off.delay" { &["load.on.delay", "load.off.delay"] } else { &["shutdown.return"] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cut_that_comes_back_is_one() {
        for (commands, sent) in [
            (&[][..], &[][..]),
            (&["load.off", "shutdown.stayoff", "shutdown.reboot"], &[]),
            (&["load.off.delay", "load.off"], &[]),
            (&["load.off.delay", "load.on.delay"], &["load.on.delay", "load.off.delay"]),
            (&["load.off.delay", "load.on.delay", "shutdown.return"], &["shutdown.return"]),
        ] {
            let names = commands.iter().map(|name| (*name).to_owned()).collect();
            let cut = CutAbility::find(&BTreeMap::new(), &names, &BTreeSet::new());
            assert_eq!(cut.as_ref().map_or(&[][..], CutAbility::commands), sent, "{commands:?}");
        }
    }
}
