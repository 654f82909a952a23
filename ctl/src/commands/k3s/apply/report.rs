use rackhaven_proto::v1::applied_workload::Outcome;
use rackhaven_proto::v1::{AppliedWorkload, ApplyWorkloadsResponse};
use serde::Serialize;

use crate::console::Console;
use crate::error::CtlError;
use crate::output::{Page, Report};
use crate::text::Text;

/// What became of objects; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct AppliedReport {
    dry_run: bool,
    applied: Vec<OneReport>,
}

#[derive(Debug, Serialize)]
struct OneReport {
    kind: Text,
    namespace: Option<Text>,
    name: Text,
    outcome: &'static str,
    reason: Option<Text>,
    conflict: bool,
    /// The reason by its lines, for people.
    #[serde(skip)]
    lines: Vec<Text>,
}

impl OneReport {
    fn new(wire: AppliedWorkload) -> Result<Self, CtlError> {
        let outcome = match wire.outcome() {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
            Outcome::Failed => "failed",
            Outcome::Unspecified => {
                let invalid = rackhaven_proto::Invalid::new("outcome", "is missing");
                return Err(CtlError::strange_answer(&invalid));
            }
        };
        Ok(Self {
            kind: Text::new(&wire.kind),
            namespace: Text::given(&wire.namespace),
            name: Text::new(&wire.name),
            outcome,
            reason: Text::given(&wire.reason),
            conflict: wire.conflict,
            lines: wire.reason.lines().map(Text::new).collect(),
        })
    }

    fn failed(&self) -> bool {
        self.outcome == "failed"
    }
}

impl AppliedReport {
    /// From the controller's answer.
    pub(super) fn new(wire: ApplyWorkloadsResponse, dry_run: bool) -> Result<Self, CtlError> {
        Ok(Self { dry_run, applied: wire.applied.into_iter().map(OneReport::new).collect::<Result<_, _>>()? })
    }

    /// Whether all is as the files say.
    pub(super) fn all_went_well(&self) -> bool {
        !self.applied.iter().any(OneReport::failed)
    }

    /// Says why what failed did, and what can be done.
    pub(super) fn tell_failures(&self, console: &mut Console) {
        for one in self.applied.iter().filter(|one| one.failed()) {
            let lines: Vec<_> = one.lines.iter().map(Text::as_str).collect();
            console.note(&format!("error: {}/{}: {}", one.kind, one.name, lines.join("\n  ")));
        }
        if self.applied.iter().any(|one| one.conflict) {
            console.note(
                "These fields have other managers. Take them over with --force-conflicts, or leave them to the others:\n\
                 remove them from the file, or give them the value that they have.",
            );
        }
    }
}

impl Report for AppliedReport {
    fn render(&self, _: &Page) -> String {
        let dry = if self.dry_run { " (dry run)" } else { "" };
        let done = self.applied.iter().filter(|one| !one.failed());
        done.map(|one| format!("{}/{} {}{dry}\n", one.kind, one.name, one.outcome)).collect()
    }
}
