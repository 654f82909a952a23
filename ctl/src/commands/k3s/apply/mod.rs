//! `ctl k3s apply`.

mod manifests;
mod report;

use std::path::PathBuf;

use clap::Args;
use rackhaven_proto::v1::ApplyWorkloadsRequest;

use self::report::AppliedReport;
use super::object::NamespaceArgs;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl k3s apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A file with objects in YAML or JSON, `-` for standard input; may be given more than once
    #[arg(short, long, value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take over fields that others have set otherwise
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// Brings objects to what files say, one after another.
pub(super) async fn run(args: ApplyArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut objects = Vec::new();
    for path in &args.filename {
        let text = manifests::read(path, &mut invocation.console.input)?;
        let shown = path.display().to_string();
        objects.extend(manifests::parse(&text).map_err(|why| CtlError::usage(format!("{shown}: {why}")))?);
    }
    if objects.is_empty() {
        return Err(CtlError::usage("there are no objects in what was given"));
    }
    let connection = invocation.connect().await?;
    let request = ApplyWorkloadsRequest {
        objects: objects.iter().map(ToString::to_string).collect(),
        namespace: args.place.namespace.unwrap_or_default(),
        force_conflicts: args.force_conflicts,
        dry_run: args.dry_run,
    };
    // Each of many objects takes its time.
    let answer = connection.workloads().apply(request).await.map_err(|status| connection.refused(&status))?;
    let report = AppliedReport::new(answer.into_inner(), args.dry_run)?;
    invocation.show(&report)?;
    report.tell_failures(&mut invocation.console);
    Ok(if report.all_went_well() { ExitStatus::Fine } else { ExitStatus::Failed })
}
