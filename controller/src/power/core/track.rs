//! One node in an outage.

use rackhaven_proto::model::{OrderId, StepKind};
use serde::{Deserialize, Serialize};

use super::state::{Direction, Outage};

/// Where a node is in an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Was not there when it began.
    Absent,
    /// Runs.
    Running,
    /// Was told to go; has not answered.
    Ordered,
    /// In its steps.
    Stopping,
    /// Past its point of no return.
    PoweringOff,
    /// Confirmed to be off.
    Off,
    /// Its time is over without that.
    Missing,
    /// Was told to stay; has not answered.
    Aborting,
    /// Is there again; K3s waits for what it needs.
    Returning,
    /// All is as it was.
    Back,
}

impl Phase {
    /// The phase's word, as the contract has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Running => "running",
            Self::Ordered => "ordered",
            Self::Stopping | Self::Aborting => "stopping",
            Self::PoweringOff => "powering-off",
            Self::Off => "off",
            Self::Missing => "missing",
            Self::Returning => "returning",
            Self::Back => "back",
        }
    }

    /// Whether a stage need not wait for it.
    pub fn settled(self) -> bool {
        matches!(self, Self::Absent | Self::Off | Self::Missing)
    }

    /// Whether it has been told to go, and may not have gone yet.
    pub fn going(self) -> bool {
        matches!(self, Self::Ordered | Self::Stopping | Self::PoweringOff)
    }

    /// Whether it may be off.
    pub fn gone(self) -> bool {
        matches!(self, Self::PoweringOff | Self::Off | Self::Missing)
    }
}

/// One node in an outage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Track {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since_ms: u64,
    /// How often it was ordered; part of the order's id.
    pub attempt: u32,
    /// Its order; may be of the outage before, if that went over into this one.
    pub order: Option<OrderId>,
    /// When it said first that it has begun with it.
    pub began_ms: Option<u64>,
    /// When it was ordered last.
    pub ordered_ms: u64,
    /// When it passed its point of no return.
    pub power_off_ms: Option<u64>,
    /// The boot in which it was last seen to run.
    pub boot_id: String,
    /// The step it is in.
    pub step: Option<StepKind>,
    /// How many steps have ended.
    pub steps_ended: usize,
    /// It was off, or may have been.
    pub was_gone: bool,
    /// Somebody took it down: it is not brought back.
    pub keep_off: bool,
    /// How often it was sent a wake-up.
    pub wakes: u32,
    /// When the last message to it was sent.
    pub sent_ms: u64,
    /// It was told that somebody must switch it on.
    pub given_up: bool,
    /// It could not be switched off; that was told.
    pub failed: bool,
    /// It had a session shortly before, if it had none when it began: it may have run all the same.
    pub was_here: bool,
}

impl Track {
    /// A node at the beginning, with its boot if it has a session.
    pub fn new(boot_id: Option<&String>, now_ms: u64) -> Self {
        Self {
            phase: if boot_id.is_some() { Phase::Running } else { Phase::Absent },
            since_ms: now_ms,
            attempt: 0,
            order: None,
            began_ms: None,
            ordered_ms: 0,
            power_off_ms: None,
            boot_id: boot_id.cloned().unwrap_or_default(),
            step: None,
            steps_ended: 0,
            was_gone: false,
            keep_off: false,
            wakes: 0,
            sent_ms: 0,
            given_up: false,
            failed: false,
            was_here: false,
        }
    }
}

impl Track {
    /// Whether it is to be watched for silence: it switches itself off, and may have been given up meanwhile.
    pub fn fades(&self, outage: &Outage) -> bool {
        let given_up = self.phase == Phase::Missing && outage.direction != Direction::Up;
        self.phase == Phase::PoweringOff || (given_up && self.power_off_ms.is_some())
    }
}
