use rackhaven_proto::model::StepOutcome;

use super::{Ended, chain};
use crate::host::PowerSwitch;

/// Gives the order to switch the machine off. It stands even if this is dropped.
pub(super) async fn run(power: &dyn PowerSwitch) -> Ended {
    match power.power_off().await {
        Ok(()) => (StepOutcome::Done, String::new()),
        Err(error) => (StepOutcome::Failed, chain(&error)),
    }
}
