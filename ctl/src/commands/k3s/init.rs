use clap::Args;
use rackhaven_proto::model::k3s::K3sVersion;
use rackhaven_proto::v1::K3sInitRequest;

use super::options::{NodeOptions, ServerOptions};
use super::progress::follow_sequence;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The node that becomes the first server
    node: String,
    /// The release; otherwise the newest that the controller has for the node
    #[arg(long)]
    version: Option<K3sVersion>,
    /// Keeps the cluster's state in etcd, so that further servers can join; otherwise in SQLite, for one server alone
    #[arg(long)]
    embedded_etcd: bool,
    /// A part of K3s that is left out: traefik, servicelb, …; may be given several times
    #[arg(long, value_name = "PART")]
    disable: Vec<String>,
    /// Puts right what keeps K3s from running
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    options: NodeOptions,
}

/// Makes a cluster.
pub(super) async fn run(args: InitArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = K3sInitRequest {
        node: args.node,
        version: args.version.map_or_else(String::new, |version| version.to_string()),
        embedded_etcd: args.embedded_etcd,
        address: args.server.address,
        options: args.options.asked(args.server.tls_sans, args.disable),
        fix: args.fix,
    };
    follow_sequence(connection.k3s_cluster().init(request), &connection, invocation).await
}
