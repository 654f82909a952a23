use std::fmt;

use super::{MacAddress, NodeName};

/// 16 random bytes that stand for one run of an agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId(pub [u8; 16]);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What does not change while a node runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The kernel's host name.
    pub hostname: String,
    /// As in Debian: amd64, arm64, armhf.
    pub arch: String,
    /// PRETTY_NAME of os-release.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// Model of the board or machine; empty where the firmware does not tell.
    pub model: String,
    /// Logical cores.
    pub cpu_count: u32,
    /// MemTotal, bytes.
    pub memory_total_bytes: u64,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Of the interfaces by which it can be woken.
    pub wake_macs: Vec<MacAddress>,
}

/// How a run of the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// In an orderly way.
    Clean,
    /// The agent vanished while the node went on.
    AgentKilled,
    /// The node went down without an orderly stop of the agent.
    NodeLost,
}

impl Ending {
    /// The ending's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::AgentKilled => "agent killed",
            Self::NodeLost => "node lost",
        }
    }
}

/// The run of the agent before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// How it ended.
    pub ending: Ending,
    /// The boot in which it ran.
    pub boot_id: String,
    /// Why, where it is known.
    pub reason: String,
}

/// The first words of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Whom the agent says it is; believed only if its certificate says so too.
    pub node: NodeName,
    /// The agent's version.
    pub agent_version: String,
    /// This run of the agent.
    pub run_id: RunId,
    /// The node.
    pub facts: NodeFacts,
    /// None at the very first start.
    pub last_run: Option<LastRun>,
    /// The node's wall clock, milliseconds since 1970-01-01 UTC.
    pub wall_unix_ms: i64,
}
