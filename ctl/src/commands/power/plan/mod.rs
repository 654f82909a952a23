//! `ctl power plan`: what a shutdown would do now, and whether the battery has time for it.

mod render;
mod report;

use rackhaven_proto::v1::GetPowerPlanRequest;

use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

pub(super) use report::{PlanNodeReport, PlanReport, Targets};

/// Shows the plan.
pub(super) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let report = fetch(&connection).await?;
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

/// Asks the controller.
pub(super) async fn fetch(connection: &Connection) -> Result<PlanReport, CtlError> {
    let plan = connection.answer(connection.power().get_plan(GetPowerPlanRequest {})).await?;
    PlanReport::new(plan).map_err(|invalid| CtlError::strange_answer(&invalid))
}
