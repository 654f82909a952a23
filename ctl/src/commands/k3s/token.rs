use clap::Subcommand;
use rackhaven_proto::v1::K3sRotateTokenRequest;

use super::progress::follow_sequence;
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// What can be done with what nodes join by.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Gives the cluster new tokens; each node is restarted with them in turn
    Rotate,
}

impl TokenCommand {
    /// Does it.
    pub(super) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Rotate => rotate(invocation).await,
        }
    }
}

async fn rotate(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let place = place(&connection).await?;
    let harm = "Will give the cluster new tokens and restart K3s on its nodes, one after another. Snapshots made before \
                can only be restored with the old server token.";
    confirmation.ask(invocation, harm, &place)?;
    follow_sequence(connection.k3s_cluster().rotate_token(K3sRotateTokenRequest {}), &connection, invocation).await
}
