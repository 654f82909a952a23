//! `ctl backup archives`: what can be brought back.

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::backup::BackupOutcome;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1::backup_action::Action;
use rackhaven_proto::v1::{BackupList, ListBackupArchivesRequest, NodeBackupArchive};
use serde::Serialize;

use super::render::outcome_style;
use super::report::outcome;
use super::start::{Asked, carry_out};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;
use crate::units::bytes;

/// Options of `ctl backup archives`.
#[derive(Debug, Args)]
pub(crate) struct ArchivesArgs {
    /// Only these jobs
    #[arg(value_name = "JOB")]
    jobs: Vec<JobName>,
    /// Only this node; may be repeated
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<NodeName>,
    /// Let the nodes look into their repositories first
    #[arg(long)]
    refresh: bool,
}

/// What `ctl backup archives` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct ArchivesReport {
    archives: Vec<ArchiveReport>,
}

#[derive(Debug, Serialize)]
struct ArchiveReport {
    node: Text,
    job: Text,
    name: Text,
    kind: Text,
    base: Option<Text>,
    made: Option<String>,
    files: u64,
    saved_bytes: u64,
    stored_bytes: u64,
    outcome: &'static str,
    verified: Option<String>,
    repository: Option<Text>,
    #[serde(skip)]
    judged: BackupOutcome,
}

impl ArchiveReport {
    fn new(row: NodeBackupArchive) -> Result<Self, Invalid> {
        let archive = row.archive.ok_or_else(|| Invalid::new("archives.archive", "is missing"))?;
        let judged = outcome(archive.outcome)?;
        Ok(Self {
            node: Text::new(&row.node),
            job: Text::new(&row.job),
            name: Text::new(&archive.name),
            kind: Text::new(&archive.kind),
            base: Text::given(&archive.base),
            made: rfc3339(archive.made_unix_ms),
            files: archive.files,
            saved_bytes: archive.bytes,
            stored_bytes: archive.bytes_stored,
            outcome: judged.as_str(),
            verified: archive.verified_unix_ms.and_then(rfc3339),
            repository: Text::given(&row.repository),
            judged,
        })
    }
}

/// Shows what there is.
pub(super) async fn run(args: ArchivesArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let nodes: Vec<_> = args.nodes.iter().map(ToString::to_string).collect();
    let jobs: Vec<_> = args.jobs.iter().map(ToString::to_string).collect();
    let mut status = ExitStatus::Fine;
    if args.refresh {
        let asked = Asked::new(nodes.clone(), jobs.clone(), Action::List(BackupList {}));
        status = carry_out(asked.quiet(), invocation).await?;
    }
    let connection = invocation.connect().await?;
    let request = ListBackupArchivesRequest { nodes, jobs };
    let response = connection.answer(connection.backups().list_archives(request)).await?;
    let archives = response.archives.into_iter().map(ArchiveReport::new).collect::<Result<Vec<_>, _>>();
    let archives = archives.map_err(|invalid| CtlError::strange_answer(&invalid))?;
    if archives.is_empty() && matches!(invocation.global.output, Format::Table | Format::Wide) {
        invocation.console.note("No archive is known. Look into the repositories: ctl backup archives --refresh");
    }
    invocation.show(&ArchivesReport { archives })?;
    Ok(status)
}

impl Report for ArchivesReport {
    fn render(&self, page: &Page) -> String {
        if self.archives.is_empty() {
            return String::new();
        }
        let mut columns = vec![
            Column::left("MADE").importance(1),
            Column::left("NODE").shrinks_to(8),
            Column::left("JOB").shrinks_to(6),
            // By its name it is brought back.
            Column::left("ARCHIVE").shrinks_to(38),
            Column::left("KIND").importance(2),
            Column::left("STATE").importance(3),
            Column::right("SAVED").importance(4),
            Column::right("STORED").importance(5),
            Column::left("VERIFIED").importance(6),
        ];
        if page.wide {
            columns.extend([Column::right("FILES"), Column::left("BASE"), Column::left("REPOSITORY")]);
        }
        let mut table = Table::new(columns);
        for archive in &self.archives {
            let mut cells = vec![
                Cell::optional(archive.made.as_ref().map(|moment| page.zone.brief(moment))),
                Cell::plain(archive.node.to_string()),
                Cell::plain(archive.job.to_string()),
                Cell::plain(archive.name.to_string()),
                Cell::plain(archive.kind.to_string()),
                Cell::styled(archive.outcome, outcome_style(archive.judged)),
                Cell::plain(bytes(archive.saved_bytes)),
                Cell::plain(bytes(archive.stored_bytes)),
                Cell::optional(archive.verified.as_ref().map(|moment| page.zone.date(moment))),
            ];
            if page.wide {
                cells.extend([
                    Cell::plain(archive.files.to_string()),
                    Cell::optional(archive.base.as_ref().map(ToString::to_string)),
                    Cell::optional(archive.repository.as_ref().map(ToString::to_string)),
                ]);
            }
            table.row(cells);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
