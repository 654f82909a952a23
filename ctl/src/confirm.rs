//! The question before harm.

use rackhaven_proto::v1::WhoAmIRequest;

use crate::connection::Connection;
use crate::error::CtlError;
use crate::invocation::Invocation;
use crate::text::Text;

/// The leave to ask, which must be had before anything is tried.
#[derive(Debug)]
pub(crate) struct Confirmation(());

impl Confirmation {
    /// Refuses where nobody can answer and --yes was not given.
    pub(crate) fn possible(invocation: &Invocation) -> Result<Self, CtlError> {
        match invocation.global.yes || invocation.console.input_is_terminal {
            true => Ok(Self(())),
            false => {
                Err(CtlError::usage("this must be confirmed, and standard input is no terminal; nothing was done")
                    .hint("add --yes to do it without being asked"))
            }
        }
    }

    /// Shows what will be hit, and where; goes on only with a typed `yes` or with --yes.
    pub(crate) fn ask(self, invocation: &mut Invocation, harm: &str, place: &str) -> Result<(), CtlError> {
        invocation.console.note(&format!("{harm}\n  {place}"));
        if invocation.global.yes {
            return Ok(());
        }
        match invocation.console.ask("Type yes to go on: ", 64)?.as_deref() {
            Some("yes") => Ok(()),
            _ => Err(CtlError::failed("not confirmed; nothing was done")),
        }
    }
}

/// Where a command will act: context and cluster.
pub(crate) async fn place(connection: &Connection) -> Result<String, CtlError> {
    let origin = &connection.origin;
    let by = match &origin.context {
        Some(context) => format!("context {context}"),
        None => format!("socket {}", origin.address),
    };
    let cluster = match &origin.cluster {
        Some(cluster) => cluster.clone(),
        None => connection.answer(connection.access().who_am_i(WhoAmIRequest {})).await?.cluster_name,
    };
    Ok(format!("{by}, cluster {}, at {}", Text::new(&cluster), origin.address))
}
