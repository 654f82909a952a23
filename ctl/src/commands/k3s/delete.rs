use clap::Args;
use rackhaven_proto::v1::DeleteWorkloadRequest;

use super::object::{DoneReport, NamespaceArgs, ObjectName};
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// What: pod/web-1, deployment/web
    #[arg(value_name = "KIND/NAME")]
    object: ObjectName,
    /// How long a pod may take to end, in the place of its own grace period; 0 takes it out of the cluster at once,
    /// whether it still runs or not
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u32>,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// Deletes an object, and what it owns after it.
pub(super) async fn run(args: DeleteArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let object = args.place.object(args.object);
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let namespace = if object.namespace.is_empty() { "default" } else { object.namespace.as_str() };
    let harm = format!("Will delete {} {} (namespace {namespace}) and what it owns.", object.kind, object.name);
    confirmation.ask(invocation, &harm, &place)?;
    let request = DeleteWorkloadRequest { object: Some(object.clone()), grace_seconds: args.grace };
    let done = connection.answer(connection.workloads().delete(request)).await?;
    invocation.show(&DoneReport::new(&done.kind, &object, "deleted"))?;
    Ok(ExitStatus::Fine)
}
