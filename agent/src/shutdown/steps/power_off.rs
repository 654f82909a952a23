use rackhaven_proto::model::StepOutcome;

use super::Ended;
use crate::causes::with_causes;
use crate::host::PowerSwitch;

/// Gives the order to switch the machine off. It stands even if this is dropped.
pub(super) async fn run(power: &dyn PowerSwitch) -> Ended {
    match power.power_off().await {
        Ok(()) => (StepOutcome::Done, String::new()),
        Err(error) => (StepOutcome::Failed, with_causes(&error)),
    }
}
