//! `ctl backup jobs`: all jobs and how they are; jobs that the controller gives nodes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1::{
    ApplyBackupJobsRequest, GivenBackupJob, ListBackupJobsRequest, NodeBackupJob, RemoveBackupJobsRequest,
};
use serde::Serialize;

use super::report::{ProgressReport, RunReport};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;
use crate::units::{count, percent};

/// Longest job that is read, bytes.
const MAX_JOB_BYTES: u64 = 64 * 1024;

/// Options of `ctl backup jobs`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct JobsArgs {
    /// Only this node; may be repeated
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
    #[command(subcommand)]
    command: Option<JobsCommand>,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Give jobs to nodes, which keep them and run them by themselves
    Apply(ApplyArgs),
    /// Take back jobs that were given; what they have saved stays
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct ApplyArgs {
    /// A job as in /etc/rackhaven/backup.d, its name the file's; may be repeated
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// To this node; may be repeated
    #[arg(long = "node", value_name = "NAME", required = true)]
    nodes: Vec<NodeName>,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The jobs
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<JobName>,
    /// From this node; may be repeated; none for all
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
}

/// What `ctl backup jobs` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct JobsReport {
    jobs: Vec<JobReport>,
}

#[derive(Debug, Serialize)]
struct JobReport {
    node: Text,
    name: Text,
    engine: Option<Text>,
    sources: Vec<Text>,
    repository: Option<Text>,
    schedule: Option<Text>,
    next: Option<String>,
    given: bool,
    pending: bool,
    problem: Option<Text>,
    troubles: Vec<Text>,
    last: Option<RunReport>,
    last_good: Option<RunReport>,
    running: Option<ProgressReport>,
}

/// What was given or taken back; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct GivenReport {
    applied: Vec<String>,
    removed: Vec<String>,
    pending: Vec<Text>,
}

/// Shows jobs, gives them or takes them back.
pub(super) async fn run(args: JobsArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    match args.command {
        None => list(args.nodes, invocation).await,
        Some(JobsCommand::Apply(args)) => apply(args, invocation).await,
        Some(JobsCommand::Remove(args)) => remove(args, invocation).await,
    }
}

async fn list(nodes: Vec<NodeName>, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = ListBackupJobsRequest { nodes: nodes.iter().map(ToString::to_string).collect() };
    let response = connection.answer(connection.backups().list_jobs(request)).await?;
    let jobs = response.jobs.into_iter().map(JobReport::new).collect::<Result<Vec<_>, _>>();
    let jobs = jobs.map_err(|invalid| CtlError::strange_answer(&invalid))?;
    if jobs.is_empty() {
        invocation.console.note("No job yet. Give nodes one: ctl backup jobs apply -f FILE --node NAME");
    }
    invocation.show(&JobsReport { jobs })?;
    Ok(ExitStatus::Fine)
}

async fn apply(args: ApplyArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let jobs = args.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let connection = invocation.connect().await?;
    let applied = jobs.iter().map(|job| job.name.clone()).collect();
    let nodes = args.nodes.iter().map(ToString::to_string).collect();
    let request = ApplyBackupJobsRequest { nodes, jobs };
    let response = connection.answer(connection.backups().apply_jobs(request)).await?;
    let pending = response.pending.iter().map(|name| Text::new(name)).collect();
    invocation.show(&GivenReport { applied, removed: Vec::new(), pending })?;
    Ok(ExitStatus::Fine)
}

async fn remove(args: RemoveArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let jobs: Vec<_> = args.jobs.iter().map(ToString::to_string).collect();
    let nodes = args.nodes.iter().map(ToString::to_string).collect();
    let request = RemoveBackupJobsRequest { nodes, jobs: jobs.clone() };
    connection.answer(connection.backups().remove_jobs(request)).await?;
    invocation.show(&GivenReport { applied: Vec::new(), removed: jobs, pending: Vec::new() })?;
    Ok(ExitStatus::Fine)
}

/// A job's file. What is in it is checked by the controller, which says which line is wrong.
fn read(path: &PathBuf) -> Result<GivenBackupJob, CtlError> {
    let refuse = |reason: String| CtlError::usage(format!("{}: {reason}", path.display()));
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: JobName = stem.parse().map_err(|invalid: Invalid| refuse(invalid.to_string()))?;
    let size = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if size > MAX_JOB_BYTES {
        return Err(refuse(format!("{size} bytes long, at most {MAX_JOB_BYTES} are allowed")));
    }
    let toml = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    Ok(GivenBackupJob { name: name.to_string(), toml })
}

impl JobReport {
    fn new(row: NodeBackupJob) -> Result<Self, Invalid> {
        let job = row.job.ok_or_else(|| Invalid::new("jobs.job", "is missing"))?;
        let node = row.node;
        let run = |run: Option<_>| run.map(|run| RunReport::new(&node, run)).transpose();
        Ok(Self {
            name: Text::new(&job.name),
            engine: Text::given(&job.engine),
            sources: job.sources.iter().map(|source| Text::new(source)).collect(),
            repository: Text::given(&job.repository),
            schedule: Text::given(&job.schedule),
            next: job.next_unix_ms.and_then(rfc3339),
            given: job.given,
            pending: row.pending,
            problem: Text::given(&job.problem),
            troubles: row.troubles.iter().map(|trouble| Text::new(trouble)).collect(),
            last: run(row.last)?,
            last_good: run(row.last_good)?,
            running: row.running.map(|progress| ProgressReport::new(&node, progress)),
            node: Text::new(&node),
        })
    }

    /// The one word that matters most.
    fn state(&self) -> (Style, String) {
        if let Some(running) = &self.running {
            let share = running.share().map(|share| format!(" {}", percent((share * 100.0) as f32)));
            return (Style::Plain, format!("{}{}", running.action, share.unwrap_or_default()));
        }
        match self.troubles.first() {
            Some(trouble) if trouble.as_str() == "failed" => (Style::Bad, trouble.to_string()),
            Some(trouble) => (Style::Warn, trouble.to_string()),
            None if self.pending => (Style::Warn, "pending".to_owned()),
            None if self.last_good.is_some() => (Style::Good, "ok".to_owned()),
            None => (Style::Dim, "never".to_owned()),
        }
    }

    /// Why it is not well, as far as anybody said.
    fn reason(&self) -> Option<&Text> {
        let failed = self.last.as_ref().filter(|run| !run.is_good()).and_then(|run| run.message.as_ref());
        self.problem.as_ref().or(failed)
    }
}

impl Report for JobsReport {
    fn render(&self, page: &Page) -> String {
        if self.jobs.is_empty() {
            return String::new();
        }
        let mut columns = vec![
            Column::left("NODE").shrinks_to(8),
            Column::left("JOB").shrinks_to(6),
            Column::left("STATE"),
            Column::left("LAST GOOD"),
            Column::left("NEXT").importance(3),
            Column::left("SCHEDULE").importance(2).shrinks_to(8),
            Column::left("REPOSITORY").importance(1).shrinks_to(10),
        ];
        if page.wide {
            let more = [Column::left("ENGINE"), Column::left("FROM"), Column::left("SOURCES"), Column::left("RUN")];
            columns.extend(more);
        }
        let mut table = Table::new(columns);
        for job in &self.jobs {
            let (style, state) = job.state();
            let saved = job.last_good.as_ref().and_then(|run| run.ended.as_ref());
            let mut cells = vec![
                Cell::plain(job.node.to_string()),
                Cell::plain(job.name.to_string()),
                Cell::styled(state, style),
                Cell::optional(saved.map(|moment| page.zone.brief(moment))),
                Cell::optional(job.next.as_ref().map(|moment| page.zone.brief(moment))),
                Cell::optional(job.schedule.as_ref().map(ToString::to_string)),
                Cell::optional(job.repository.as_ref().map(ToString::to_string)),
            ];
            if page.wide {
                let sources: Vec<_> = job.sources.iter().map(Text::as_str).collect();
                cells.extend([
                    Cell::optional(job.engine.as_ref().map(ToString::to_string)),
                    Cell::plain(if job.given { "controller" } else { "node" }),
                    Cell::plain(sources.join(" ")),
                    Cell::optional(job.running.as_ref().map(|running| running.run_id.to_string())),
                ]);
            }
            table.row(cells);
        }
        let mut lines = table.lines(page.columns, page.colour);
        let told = self.jobs.iter().filter_map(|job| Some((job, job.reason()?)));
        let reasons: Vec<_> =
            told.map(|(job, reason)| page.fit(&format!("{}/{}: {reason}", job.node, job.name))).collect();
        if !reasons.is_empty() {
            lines.extend([String::new(), Style::Bold.paint("PROBLEMS", page.colour)]);
            lines.extend(reasons);
        }
        lines.join("\n") + "\n"
    }
}

impl Report for GivenReport {
    fn render(&self, page: &Page) -> String {
        let mut lines = Vec::new();
        for (names, what) in [(&self.applied, "given"), (&self.removed, "taken back")] {
            if !names.is_empty() {
                lines.push(page.fit(&format!("{} {what}: {}", count(names.len(), "job"), names.join(", "))));
            }
        }
        if !self.pending.is_empty() {
            let names: Vec<_> = self.pending.iter().map(Text::as_str).collect();
            lines.push(page.fit(&format!("Not there now, and told when they come back: {}", names.join(", "))));
        }
        lines.join("\n") + "\n"
    }
}
