use rackhaven_proto::model::{NodeName, Step, StepKind, Steps};

/// What an admin decided about power. Times in milliseconds, charges in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How many UPSes there are.
    pub ups_count: usize,
    /// So many of them must be fed by mains, or the rack counts as on battery.
    pub minimum_supplies: usize,
    /// A low battery, a low charge or a short runtime must be told for so long before it is believed.
    pub hold_ms: u64,
    /// The shutdown begins below this charge; none for no such trigger.
    pub charge_percent: Option<f32>,
    /// The shutdown begins after so long on battery; none for no such trigger.
    pub time_ms: Option<u64>,
    /// How long a battery is taken to last whose UPS tells no runtime.
    pub assumed_runtime_ms: u64,
    /// Kept in reserve, on top of what the shutdown takes.
    pub margin_ms: u64,
    /// Mains must be back for so long before a shutdown turns back.
    pub mains_hold_ms: u64,
    /// Mains must be back for so long before nodes are brought back.
    pub mains_stable_ms: u64,
    /// The battery must be charged so far before nodes are brought back; none for no floor.
    pub restore_charge_percent: Option<f32>,
    /// Nodes are brought back after so long of stable mains whatever the charge: a worn battery never reaches it.
    pub restore_wait_ms: u64,
    /// What a node does on its way down, with the deadlines.
    pub steps: Steps,
    /// How long a node may take from the power-off's beginning to silence.
    pub off_grace_ms: u64,
    /// How long a node is thought to take down as long as nothing was learnt of it.
    pub expected_ms: u64,
    /// How long a stage waits for its nodes to come back before the next is woken.
    pub return_wait_ms: u64,
    /// All mains witnesses must be silent for so long.
    pub witness_hold_ms: u64,
    /// Whether the UPS is told to cut the load at the end.
    pub cut: bool,
}

impl Policy {
    /// A node's time from order to silence at the very most: all deadlines and the power-off's grace.
    pub fn cap_ms(&self) -> u64 {
        self.steps.total_ms().saturating_add(self.off_grace_ms)
    }

    /// The steps' deadlines as shipped, milliseconds.
    pub const STEP_TIMEOUTS_MS: [(StepKind, u32); 7] = [
        (StepKind::Drain, 30_000),
        (StepKind::StopK3s, 30_000),
        (StepKind::StopBackups, 15_000),
        (StepKind::Hooks, 30_000),
        (StepKind::Unmount, 10_000),
        (StepKind::Sync, 20_000),
        (StepKind::PowerOff, 20_000),
    ];

    /// All steps with these deadlines.
    ///
    /// # Errors
    /// When a deadline cannot be used.
    pub fn steps(timeouts_ms: &[(StepKind, u32)]) -> Result<Steps, rackhaven_proto::Invalid> {
        let steps = timeouts_ms.iter().map(|&(kind, timeout_ms)| Step { kind, timeout_ms });
        steps.collect::<Vec<_>>().try_into()
    }
}

/// How a node that is off is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// By a packet to its network interface.
    WakeOnLan,
    /// It starts when its power is cut and comes back.
    PowerCycle,
    /// Somebody must switch it on.
    ByHand,
}

impl Wake {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WakeOnLan => "wake-on-lan",
            Self::PowerCycle => "power-cycle",
            Self::ByHand => "by-hand",
        }
    }
}

/// When a stage goes before all others, to stretch the battery. Each that is given counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shed {
    /// Below this charge.
    pub charge_percent: Option<f32>,
    /// After so long on battery, milliseconds.
    pub time_ms: Option<u64>,
    /// With so little runtime left, milliseconds.
    pub runtime_ms: Option<u64>,
}

/// What must be there before K3s runs again on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Another node.
    Node(NodeName),
    /// Something mounted on the node itself.
    Mount(String),
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// It is over after this, milliseconds; none for the sum of its nodes' deadlines.
    pub cap_ms: Option<u64>,
    /// Its own trigger.
    pub shed: Option<Shed>,
    /// For the return of its nodes.
    pub needs: Vec<Need>,
    /// NUT clients are in it, which go when they are told so: how long they are given at most, milliseconds.
    pub clients_ms: Option<u64>,
}

/// A node as the plan sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Index of its stage.
    pub stage: usize,
    /// How it is brought back.
    pub wake: Wake,
    /// Whether the controller runs on it.
    pub master: bool,
    /// Whether what it needs mounted is mounted.
    pub mounts_ready: bool,
}

/// All nodes and stages, as configuration, labels and facts give them now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roster {
    /// In the order in which they go down.
    pub stages: Vec<Stage>,
    /// Every enrolled node.
    pub members: std::collections::BTreeMap<NodeName, Member>,
    /// Whether the controller's own host may lose its power: it is the master, or hangs on another supply.
    pub host_safe: bool,
}

impl Roster {
    /// The node that the controller runs on.
    pub fn master(&self) -> Option<&NodeName> {
        self.members.iter().find(|(_, member)| member.master).map(|(name, _)| name)
    }
}
