use rackhaven_proto::model::k3s::Artifact;
use rackhaven_proto::v1;
use serde::Serialize;

use crate::error::CtlError;
use crate::output::{Page, Report};
use crate::table::{Cell, Column, Table};
use crate::times::{Zone, rfc3339_given};
use crate::units::bytes;

/// Files of releases; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct ArtifactsReport {
    artifacts: Vec<ArtifactReport>,
}

#[derive(Debug, Serialize)]
struct ArtifactReport {
    version: String,
    arch: &'static str,
    kind: &'static str,
    bytes: Option<u64>,
    sha256: String,
    added: Option<String>,
    source: Option<String>,
}

impl ArtifactsReport {
    /// From the controller's answer.
    pub(super) fn new(wire: Vec<v1::Artifact>) -> Result<Self, CtlError> {
        let report = |wire: v1::Artifact| {
            let artifact = Artifact::try_from(wire).map_err(|invalid| CtlError::strange_answer(&invalid))?;
            Ok(ArtifactReport {
                version: artifact.version.to_string(),
                arch: artifact.arch.as_str(),
                kind: artifact.kind.as_str(),
                bytes: (artifact.bytes > 0).then_some(artifact.bytes),
                sha256: artifact.sha256.to_string(),
                added: rfc3339_given(artifact.added_unix_ms),
                source: artifact.source.map(|source| source.to_string()),
            })
        };
        Ok(Self { artifacts: wire.into_iter().map(report).collect::<Result<_, CtlError>>()? })
    }
}

impl Report for ArtifactsReport {
    fn render(&self, page: &Page) -> String {
        if self.artifacts.is_empty() {
            return "No files: ctl k3s artifacts add --version VERSION FILE…\n".to_owned();
        }
        let mut table = Table::new(vec![
            Column::left("VERSION"),
            Column::left("ARCH"),
            Column::left("FILE"),
            Column::right("SIZE").importance(1),
            Column::left("ADDED").importance(2),
            Column::left("SHA-256").shrinks_to(8),
            Column::left("FROM").shrinks_to(10).importance(1),
        ]);
        let form = if page.wide { Zone::full } else { Zone::brief };
        for artifact in &self.artifacts {
            table.row(vec![
                Cell::plain(artifact.version.as_str()),
                Cell::plain(artifact.arch),
                Cell::plain(artifact.kind),
                Cell::optional(artifact.bytes.map(bytes)),
                Cell::optional(artifact.added.as_ref().map(|moment| form(&page.zone, moment))),
                Cell::plain(artifact.sha256.as_str()),
                Cell::plain(artifact.source.as_deref().unwrap_or("controller")),
            ]);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
