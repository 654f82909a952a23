use clap::Args;
use rackhaven_proto::v1::ScaleWorkloadRequest;

use super::object::{DoneReport, NamespaceArgs, ObjectName};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// What: deployment/web, statefulset/db
    #[arg(value_name = "KIND/NAME")]
    object: ObjectName,
    /// How many pods it is to have
    #[arg(long, value_name = "NUMBER")]
    replicas: u32,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// Sets how many pods something has.
pub(super) async fn run(args: ScaleArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let object = args.place.object(args.object);
    let connection = invocation.connect().await?;
    let request = ScaleWorkloadRequest { object: Some(object.clone()), replicas: args.replicas };
    let done = connection.answer(connection.workloads().scale(request)).await?;
    invocation.show(&DoneReport::new(&done.kind, &object, "scaled"))?;
    Ok(ExitStatus::Fine)
}
