use clap::{Args, Subcommand};
use rackhaven_proto::v1::rollout_request::Action;
use rackhaven_proto::v1::{
    ListRevisionsRequest, ListRevisionsResponse, RolloutRequest, RolloutRestart, RolloutUndo, WatchRolloutRequest,
};
use serde::Serialize;

use super::object::{DoneReport, NamespaceArgs, ObjectName};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339_given;

/// What can be done with the forms of a Deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Wait until its newest form is there
    Status(OfArgs),
    /// The forms that can be gone back to
    History(OfArgs),
    /// Start its pods anew, a few at a time
    Restart(OfArgs),
    /// Go back to the form before
    Undo(UndoArgs),
}

/// Of what.
#[derive(Debug, Args)]
pub(crate) struct OfArgs {
    /// What: deployment/web
    #[arg(value_name = "KIND/NAME")]
    object: ObjectName,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// Options of `ctl k3s rollout undo`.
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    #[command(flatten)]
    of: OfArgs,
    /// To this one, in the place of the one before
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    to_revision: Option<u64>,
}

/// How far it is; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct NewsReport {
    text: Text,
    done: bool,
}

impl Report for NewsReport {
    fn render(&self, _: &Page) -> String {
        format!("{}\n", self.text)
    }
}

/// The forms; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct HistoryReport {
    revisions: Vec<RevisionReport>,
}

#[derive(Debug, Serialize)]
struct RevisionReport {
    number: u64,
    change_cause: Option<Text>,
    images: Vec<Text>,
    created: Option<String>,
}

impl HistoryReport {
    fn new(wire: ListRevisionsResponse) -> Self {
        let report = |wire: rackhaven_proto::v1::Revision| RevisionReport {
            number: wire.number,
            change_cause: Text::given(&wire.change_cause),
            images: wire.images.iter().map(|image| Text::new(image)).collect(),
            created: rfc3339_given(wire.created_unix_ms),
        };
        Self { revisions: wire.revisions.into_iter().map(report).collect() }
    }
}

impl Report for HistoryReport {
    fn render(&self, page: &Page) -> String {
        let mut table = Table::new(vec![
            Column::right("REVISION"),
            Column::left("CREATED").importance(1),
            Column::left("IMAGES").shrinks_to(20),
            Column::left("CHANGE-CAUSE").shrinks_to(12),
        ]);
        for revision in &self.revisions {
            let images: Vec<_> = revision.images.iter().map(Text::as_str).collect();
            table.row(vec![
                Cell::plain(revision.number.to_string()),
                Cell::optional(revision.created.as_ref().map(|time| page.zone.brief(time))),
                Cell::plain(images.join(",")),
                Cell::plain(revision.change_cause.as_ref().map_or("<none>", Text::as_str)),
            ]);
        }
        table.lines(page.columns, page.colour).iter().map(|line| format!("{line}\n")).collect()
    }
}

impl RolloutCommand {
    /// Does it.
    pub(super) async fn run(self, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        match self {
            Self::Status(of) => status(of, invocation).await,
            Self::History(of) => {
                let connection = invocation.connect().await?;
                let request = ListRevisionsRequest { object: Some(of.place.object(of.object)) };
                let all = connection.answer(connection.workloads().list_revisions(request)).await?;
                invocation.show(&HistoryReport::new(all))?;
                Ok(ExitStatus::Fine)
            }
            Self::Restart(of) => act(of, Action::Restart(RolloutRestart {}), "restarted", invocation).await,
            Self::Undo(UndoArgs { of, to_revision }) => {
                let undo = RolloutUndo { to_revision: to_revision.unwrap_or_default() };
                act(of, Action::Undo(undo), "rolled back", invocation).await
            }
        }
    }
}

async fn status(of: OfArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = WatchRolloutRequest { object: Some(of.place.object(of.object)) };
    let mut stream = connection.answer(connection.workloads().watch_rollout(request)).await?;
    loop {
        let next = tokio::select! {
            next = stream.message() => next.map_err(|status| connection.refused(&status))?,
            // Whoever waits no longer does not know how it ended.
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Failed),
        };
        let Some(news) = next else { return Err(CtlError::failed("the controller did not say how it ended")) };
        invocation.show_one(&NewsReport { text: Text::new(&news.text), done: news.done })?;
        if news.done {
            return Ok(ExitStatus::Fine);
        }
    }
}

async fn act(of: OfArgs, action: Action, done: &str, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let object = of.place.object(of.object);
    let connection = invocation.connect().await?;
    let request = RolloutRequest { object: Some(object.clone()), action: Some(action) };
    let answer = connection.answer(connection.workloads().rollout(request)).await?;
    let done = match answer.skipped.as_str() {
        "" => done.to_owned(),
        why => format!("skipped rollback ({why})"),
    };
    invocation.show(&DoneReport::new(&answer.kind, &object, &done))?;
    Ok(ExitStatus::Fine)
}
