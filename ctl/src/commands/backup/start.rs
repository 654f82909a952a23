//! `ctl backup run`, `verify` and `prune`: orders to nodes, followed to their end where that is wanted.

use clap::Args;
use rackhaven_proto::model::backup::ArchiveName;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1::backup_action::Action;
use rackhaven_proto::v1::{
    BackupAction, BackupPrune, BackupSave, BackupVerify, StartBackupsRequest, StartBackupsResponse,
};
use serde::Serialize;

use super::follow::{End, Following};
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::screen::Signals;
use crate::style::Style;
use crate::text::Text;

/// Which jobs of which nodes.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The jobs; none for all
    #[arg(value_name = "JOB")]
    jobs: Vec<JobName>,
    /// On this node; may be repeated; none for all that have the jobs
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
    /// Show how it is getting on until all have ended; exit with 1 if one did not go well
    #[arg(long)]
    follow: bool,
}

/// Options of `ctl backup run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// Make full archives, even if increments would do
    #[arg(long)]
    full: bool,
}

/// Options of `ctl backup verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
    /// This archive, in place of the newest
    #[arg(long, value_name = "ARCHIVE")]
    archive: Option<ArchiveName>,
    /// How much of its data is read
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    percent: u32,
}

/// Options of `ctl backup prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    which: Which,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// What is asked of nodes.
#[derive(Debug)]
pub(super) struct Asked {
    request: StartBackupsRequest,
    follow: bool,
    quiet: bool,
}

/// What nodes have begun; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct StartReport {
    started: Vec<StartedReport>,
}

#[derive(Debug, Serialize)]
struct StartedReport {
    node: Text,
    job: Text,
    run_id: Option<Text>,
    refused: Option<Text>,
}

impl Asked {
    /// To be begun, and followed.
    pub(super) fn new(nodes: Vec<String>, jobs: Vec<String>, action: Action) -> Self {
        let action = Some(BackupAction { action: Some(action) });
        Self { request: StartBackupsRequest { nodes, jobs, action }, follow: true, quiet: false }
    }

    fn of(which: &Which, action: Action) -> Self {
        let nodes = which.nodes.iter().map(ToString::to_string).collect();
        let jobs = which.jobs.iter().map(ToString::to_string).collect();
        Self { follow: which.follow, ..Self::new(nodes, jobs, action) }
    }

    /// The same; the way to it and its end are told beside the data, if at all.
    pub(super) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// The same, followed or not.
    pub(super) fn followed(self, follow: bool) -> Self {
        Self { follow, ..self }
    }
}

/// Saves.
pub(super) async fn run(args: RunArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    carry_out(Asked::of(&args.which, Action::Save(BackupSave { full: args.full })), invocation).await
}

/// Verifies.
pub(super) async fn verify(args: VerifyArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let archive = args.archive.map_or_else(String::new, String::from);
    if !archive.is_empty() && (args.which.jobs.len() != 1 || args.which.nodes.len() != 1) {
        return Err(CtlError::usage("an archive is of one job, on one node")
            .hint("ctl backup verify JOB --node NODE --archive ARCHIVE"));
    }
    let action = Action::Verify(BackupVerify { archive, percent: args.percent });
    carry_out(Asked::of(&args.which, action), invocation).await
}

/// Prunes, after a confirmation.
pub(super) async fn prune(args: PruneArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let asked = Asked::of(&args.which, Action::Prune(BackupPrune { dry_run: args.dry_run }));
    if args.dry_run {
        // There is nothing to it but its end.
        return carry_out(asked.followed(true), invocation).await;
    }
    let confirmation = Confirmation::possible(invocation)?;
    let connection = invocation.connect().await?;
    let list = |names: &[String], all: &str| if names.is_empty() { all.to_owned() } else { names.join(", ") };
    let jobs = list(&asked.request.jobs, "all jobs");
    let nodes = list(&asked.request.nodes, "all nodes");
    let harm = format!("Will remove the archives that retention does not keep, of {jobs} on {nodes}.");
    confirmation.ask(invocation, &harm, &place(&connection).await?)?;
    drop(connection);
    carry_out(asked, invocation).await
}

/// Has it begun, and follows it where that is wanted.
pub(super) async fn carry_out(asked: Asked, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    // Who listens for signals before the order is given is never left without a word about what goes on.
    let signals = Signals::listen()?;
    let response = connection.answer(connection.backups().start(asked.request)).await?;
    let report = StartReport::new(&response);
    let run_ids: Vec<_> = report.started.iter().filter_map(|row| Some(row.run_id.as_ref()?.to_string())).collect();
    let refused = report.started.iter().any(|row| row.refused.is_some());
    let status = if refused { ExitStatus::Failed } else { ExitStatus::Fine };
    if asked.quiet {
        for row in report.started.iter().filter(|row| row.refused.is_some()) {
            invocation.console.note(&row.line());
        }
    } else if asked.follow && !refused && matches!(invocation.global.output, Format::Table | Format::Wide) {
        // Each of them is seen by itself.
    } else if asked.follow {
        invocation.show_one(&report)?;
    } else {
        invocation.show(&report)?;
    }
    if run_ids.is_empty() {
        return Ok(status);
    }
    if !asked.follow {
        invocation.console.note("Follow it: ctl backup watch. End it: ctl backup stop RUN.");
        return Ok(status);
    }
    let mut following = Following::new(run_ids, &target, asked.quiet);
    match following.run(connection, signals, invocation).await? {
        End::Left => {
            invocation.console.note("You no longer follow it; it goes on. See it: ctl backup watch");
            Ok(ExitStatus::Fine)
        }
        End::Through { good } if good && !refused => Ok(ExitStatus::Fine),
        End::Through { .. } => Ok(ExitStatus::Failed),
    }
}

impl StartReport {
    fn new(response: &StartBackupsResponse) -> Self {
        let row = |row: &rackhaven_proto::v1::StartedBackup| StartedReport {
            node: Text::new(&row.node),
            job: Text::new(&row.job),
            run_id: Text::given(&row.run_id),
            refused: Text::given(&row.refused),
        };
        Self { started: response.started.iter().map(row).collect() }
    }
}

impl StartedReport {
    fn line(&self) -> String {
        match (&self.refused, &self.run_id) {
            (Some(refused), _) => format!("{}/{}: not begun: {refused}", self.node, self.job),
            (None, Some(run_id)) => format!("{}/{}: begun as {run_id}", self.node, self.job),
            (None, None) => format!("{}/{}: begun", self.node, self.job),
        }
    }
}

impl Report for StartReport {
    fn render(&self, page: &Page) -> String {
        let style = |row: &StartedReport| if row.refused.is_some() { Style::Bad } else { Style::Plain };
        self.started.iter().map(|row| style(row).paint(&page.fit(&row.line()), page.colour) + "\n").collect()
    }
}
