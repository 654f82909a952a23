//! `ctl context list`.

use serde::Serialize;

use crate::context::{ContextName, ContextStore, StoredContext};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339;

/// What `ctl context list` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct ContextListReport {
    contexts: Vec<ContextReport>,
}

/// One context; all but the name is null where its file cannot be used.
#[derive(Debug, Serialize)]
struct ContextReport {
    name: String,
    current: bool,
    cluster: Option<Text>,
    cluster_id: Option<String>,
    user: Option<String>,
    endpoints: Vec<String>,
    certificate_expires: Option<String>,
    problem: Option<Text>,
}

/// Shows all contexts, the unusable ones too.
pub(crate) fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let store = ContextStore::of(&invocation.environment)?;
    let current = store.current().unwrap_or_else(|error| {
        invocation.console.note(&format!("warning: {error}"));
        None
    });
    let report = |name: &ContextName| ContextReport::new(name, current.as_ref() == Some(name), store.load(name));
    let contexts: Vec<_> = store.names()?.iter().map(report).collect();
    if contexts.is_empty() {
        invocation.console.note("No contexts yet. Log in with an invitation: ctl login HOST:7443");
    }
    invocation.show(&ContextListReport { contexts })?;
    Ok(ExitStatus::Fine)
}

impl ContextReport {
    fn new(name: &ContextName, current: bool, loaded: Result<StoredContext, CtlError>) -> Self {
        let blank = Self {
            name: name.to_string(),
            current,
            cluster: None,
            cluster_id: None,
            user: None,
            endpoints: Vec::new(),
            certificate_expires: None,
            problem: None,
        };
        let credentials = match loaded {
            Ok(context) => context.credentials,
            Err(error) => return Self { problem: Some(Text::new(error.message())), ..blank },
        };
        let ends = credentials.certificate().ok().and_then(|info| rfc3339(info.not_after_unix_s.saturating_mul(1000)));
        Self {
            cluster: Some(Text::new(&credentials.cluster_name)),
            cluster_id: Some(credentials.cluster_id.to_string()),
            user: Some(credentials.identity.subject.name().to_owned()),
            endpoints: credentials.endpoints.iter().map(ToString::to_string).collect(),
            certificate_expires: ends,
            ..blank
        }
    }
}

impl Report for ContextListReport {
    fn render(&self, page: &Page) -> String {
        if self.contexts.is_empty() {
            return String::new();
        }
        let mut table = Table::new(vec![
            Column::left(""),
            Column::left("NAME").shrinks_to(16),
            Column::left("CLUSTER").shrinks_to(8),
            Column::left("USER").shrinks_to(8),
            Column::left("ENDPOINTS").shrinks_to(12),
            Column::left("CERT").importance(1),
        ]);
        for context in &self.contexts {
            let style = if context.current { Style::Good } else { Style::Plain };
            let endpoints = (!context.endpoints.is_empty()).then(|| context.endpoints.join(","));
            let where_to = match &context.problem {
                Some(problem) => Cell::styled(problem.as_str(), Style::Bad),
                None => Cell::optional(endpoints),
            };
            table.row(vec![
                Cell::styled(if context.current { "*" } else { "" }, style),
                Cell::styled(context.name.as_str(), style),
                Cell::optional(context.cluster.as_ref().map(ToString::to_string)),
                Cell::optional(context.user.clone()),
                where_to,
                Cell::optional(context.certificate_expires.as_ref().map(|moment| page.zone.date(moment))),
            ]);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
