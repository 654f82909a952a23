use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// How the rack is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supply {
    /// By mains.
    Mains,
    /// By a battery.
    Battery,
    /// Not known: no UPS can be read.
    Unknown,
}

impl Supply {
    /// The supply's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mains => "mains",
            Self::Battery => "battery",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a node does on its way down. The shutdown of a board is a list of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Cordon the node and move its workloads away; asked of the controller.
    Drain,
    /// Stop K3s.
    StopK3s,
    /// Stop running backups, so that they leave nothing half done.
    StopBackups,
    /// Run the admin's own hooks.
    Hooks,
    /// Unmount network file systems.
    Unmount,
    /// Write everything to the disks.
    Sync,
    /// Switch the machine off: the point of no return.
    PowerOff,
}

impl StepKind {
    /// All steps, in the order of a shutdown.
    pub const ALL: [Self; 7] =
        [Self::Drain, Self::StopK3s, Self::StopBackups, Self::Hooks, Self::Unmount, Self::Sync, Self::PowerOff];

    /// The step's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::StopK3s => "stop-k3s",
            Self::StopBackups => "stop-backups",
            Self::Hooks => "hooks",
            Self::Unmount => "unmount",
            Self::Sync => "sync",
            Self::PowerOff => "power-off",
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One step with its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// It is abandoned after this, milliseconds.
    pub timeout_ms: u32,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// Its time was over.
    TimedOut,
    /// There was nothing to do.
    Skipped,
    /// It was cut short, by an abort or by a stop of the agent.
    Abandoned,
}

impl StepOutcome {
    /// The outcome's words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Skipped => "skipped",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// Which.
    pub kind: StepKind,
    /// How.
    pub outcome: StepOutcome,
    /// How long it took, milliseconds.
    pub duration_ms: u32,
    /// Why, where it did not go well.
    pub message: String,
}

/// The id of one order to go down, by which a node carries it out once however often it comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(Box<str>);

impl OrderId {
    /// With this begin ids that no controller gave: somebody stops the machine, and its agent makes the best of it.
    pub const LOCAL: &str = "local-";

    /// Whether no controller gave it.
    pub fn is_local(&self) -> bool {
        self.0.starts_with(Self::LOCAL)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(Invalid::new("order_id", "is not 1 to 64 letters, digits and hyphens"));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for OrderId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list of steps as a node can carry it out: no step twice, in the order of [`StepKind::ALL`], each with some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Steps(Vec<Step>);

impl Steps {
    /// Longest time of one step, milliseconds.
    pub const MAX_TIMEOUT_MS: u32 = 3_600_000;

    /// The steps, in order.
    pub fn as_slice(&self) -> &[Step] {
        &self.0
    }

    /// The same without the power-off: a rehearsal.
    pub fn rehearsal(&self) -> Self {
        Self(self.0.iter().copied().filter(|step| step.kind != StepKind::PowerOff).collect())
    }

    /// All deadlines together, milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.0.iter().map(|step| u64::from(step.timeout_ms)).sum()
    }
}

impl TryFrom<Vec<Step>> for Steps {
    type Error = Invalid;

    fn try_from(steps: Vec<Step>) -> Result<Self, Invalid> {
        if steps.is_empty() {
            return Err(Invalid::new("steps", "are missing"));
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[0].kind >= pair[1].kind) {
            return Err(Invalid::new("steps", format!("{} comes after {}", pair[1].kind, pair[0].kind)));
        }
        match steps.iter().find(|step| !(1..=Self::MAX_TIMEOUT_MS).contains(&step.timeout_ms)) {
            Some(step) => {
                let reason =
                    format!("{} for {} is not between 1 and {}", step.timeout_ms, step.kind, Self::MAX_TIMEOUT_MS);
                Err(Invalid::new("steps.timeout_ms", reason))
            }
            None => Ok(Self(steps)),
        }
    }
}

impl From<Steps> for Vec<Step> {
    fn from(steps: Steps) -> Self {
        steps.0
    }
}

/// An order to go down, or to rehearse it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownOrder {
    /// Unique for this node.
    pub id: OrderId,
    /// What is done; in a drill without the power-off.
    pub steps: Steps,
    /// Whether it is a rehearsal.
    pub drill: bool,
    /// Why, for a person.
    pub reason: String,
}

/// A node's own part of the shutdown plan, for when contact is lost on battery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlonePlan {
    /// The order that the controller would give.
    pub order_id: OrderId,
    /// From receipt, milliseconds.
    pub begin_in_ms: u64,
    /// What is done.
    pub steps: Steps,
}

/// How the supply is, as the controller tells its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerNotice {
    /// What feeds the rack.
    pub supply: Supply,
    /// On battery: what the node does if it hears nothing more.
    pub alone: Option<AlonePlan>,
    /// Whether K3s is to wait.
    pub hold_k3s: bool,
}

/// Where a node is with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressState {
    /// Written down, and in its steps.
    Running,
    /// Past the point of no return.
    PoweringOff,
    /// Ended and undone; the node goes on.
    Aborted,
    /// A drill is through.
    Drilled,
    /// The machine could not be switched off.
    Failed,
}

/// How far a node is with an order, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownProgress {
    /// Which order.
    pub order_id: OrderId,
    /// How far.
    pub state: ProgressState,
    /// The steps that have ended, in order.
    pub steps: Vec<StepResult>,
    /// The step that is under way.
    pub current: Option<StepKind>,
    /// Begun by the node itself, because it heard nothing.
    pub alone: bool,
    /// For a person; may be empty.
    pub message: String,
}

/// How the last stop of a node went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// The boot that ended.
    pub boot_id: String,
    /// The order that it obeyed; none if somebody else stopped the node.
    pub order_id: Option<OrderId>,
    /// Whether all steps ended, the power-off was reached, and the agent was stopped in an orderly way.
    pub clean: bool,
    /// What became of the steps.
    pub steps: Vec<StepResult>,
}

/// A network interface's address, by which its machine can be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("MAC address", format!("{text:?} is not such as 88:a2:9e:01:02:03"));
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::{MacAddress, OrderId, Step, StepKind, Steps};

    #[test]
    fn steps_are_in_order_and_bounded() {
        let step = |kind, timeout_ms| Step { kind, timeout_ms };
        let good = vec![step(StepKind::Hooks, 1), step(StepKind::PowerOff, 3_600_000)];
        let steps = Steps::try_from(good.clone()).unwrap();
        assert_eq!((steps.as_slice(), steps.total_ms()), (good.as_slice(), 3_600_001));
        assert_eq!(steps.rehearsal().as_slice(), [step(StepKind::Hooks, 1)]);
        for (bad, reason) in [
            (vec![], "steps: are missing"),
            (vec![step(StepKind::Sync, 1), step(StepKind::Sync, 1)], "steps: sync comes after sync"),
            (vec![step(StepKind::PowerOff, 1), step(StepKind::Drain, 1)], "steps: drain comes after power-off"),
            (vec![step(StepKind::Sync, 0)], "steps.timeout_ms: 0 for sync is not between 1 and 3600000"),
        ] {
            assert_eq!(Steps::try_from(bad).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn addresses_and_ids() {
        let address: MacAddress = "88-A2-9e:01:02:03".parse().unwrap();
        assert_eq!(address.to_string(), "88:a2:9e:01:02:03");
        for bad in ["", "88:a2:9e:01:02", "88:a2:9e:01:02:03:04", "8:a2:9e:01:02:03", "+8:a2:9e:01:02:03"] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad:?} was taken");
        }
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad:?} was taken");
        }
    }
}
