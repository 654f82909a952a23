//! The validated vocabulary. A value of these types is well-formed wherever it came from.

pub mod backup;
mod command;
mod endpoint;
mod event;
mod hello;
pub mod k3s;
mod label;
mod log;
mod name;
mod power;
mod sample;
mod state;

pub use command::{Command, CommandId, CommandOutcome, Operation};
pub use endpoint::Endpoint;
pub use event::{Event, EventId, Severity};
pub use hello::{Ending, Hello, LastRun, NodeFacts, RunId};
pub use label::{LabelKey, LabelValue, Labels};
pub use log::{LogOrder, LogOrderId, LogQuery, UnitPattern};
pub use name::{ClusterId, JobName, NodeName, UserName};
pub use power::{
    AlonePlan, MacAddress, OrderId, PowerNotice, ProgressState, ShutdownOrder, ShutdownProgress, Step, StepKind,
    StepOutcome, StepResult, Steps, StopReport, Supply,
};
pub use sample::Sample;
pub use state::{NodeState, Role, Verdict};

/// A value that was refused: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The field's name as in the contract, or the configuration's key.
    pub field: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl Invalid {
    /// Refuses `field` for `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Refuses text that is longer than `limit_bytes` or holds control characters.
pub(crate) fn plain_text(field: &str, text: &str, limit_bytes: usize) -> Result<(), Invalid> {
    if text.len() > limit_bytes {
        return Err(Invalid::new(field, format!("{} bytes long, at most {limit_bytes} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "holds a control character"));
    }
    Ok(())
}
