//! `ctl k3s get`.

mod objects;
mod rows;

use clap::Args;
use rackhaven_proto::v1::{GetWorkloadsRequest, WorkloadRef};

use self::objects::Objects;
use self::rows::Rows;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::Format;

/// Options of `ctl k3s get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// nodes, namespaces, pods, deployments, statefulsets, daemonsets, replicasets, services, configmaps, pvc, pdb,
    /// ingresses, events; or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Only this one
    name: Option<String>,
    /// The namespace [default: default]
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those with these labels, such as app=web
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Go on with what changes until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// Shows what is in the cluster.
pub(super) async fn run(args: GetArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let (kind, name) = match (args.kind.split_once('/'), args.name) {
        (Some(_), Some(_)) => return Err(CtlError::usage("KIND/NAME and a name are one too many")),
        (Some((kind, name)), None) => (kind.to_owned(), name.to_owned()),
        (None, name) => (args.kind, name.unwrap_or_default()),
    };
    let form = invocation.global.output;
    let whole = matches!(form, Format::Json | Format::Yaml);
    if form == Format::Csv {
        return Err(CtlError::usage("there is nothing here that could be told as CSV"));
    }
    let single = !name.is_empty();
    let namespace = args.namespace.unwrap_or_default();
    let place = match (args.all_namespaces, namespace.as_str()) {
        (true, _) => String::new(),
        (false, "") => " in default namespace".to_owned(),
        (false, namespace) => format!(" in {namespace} namespace"),
    };
    let request = GetWorkloadsRequest {
        object: Some(WorkloadRef { kind, namespace, name }),
        all_namespaces: args.all_namespaces,
        labels: args.selector.unwrap_or_default(),
        whole,
        watch: args.watch,
    };
    let connection = invocation.connect().await?;
    let mut stream = connection.answer(connection.workloads().get(request)).await?;
    let mut objects = Objects::new(form, single, args.watch);
    let mut rows = Rows::new(args.all_namespaces, args.watch);
    loop {
        let next = tokio::select! {
            next = stream.message() => next.map_err(|status| connection.refused(&status))?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Fine),
        };
        let Some(message) = next else { break };
        if whole {
            objects.take(message.objects, invocation)?;
        } else {
            rows.take(message, invocation)?;
        }
    }
    if whole {
        objects.end(invocation)?;
    } else if !rows.end(invocation)? {
        invocation.console.note(&format!("No resources found{place}."));
    }
    Ok(ExitStatus::Fine)
}
