use rackhaven_proto::Invalid;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_ended::Result as Ended;
use rackhaven_proto::v1::k3s_finding::Level;
use rackhaven_proto::v1::k3s_step::State;
use serde::Serialize;

use crate::error::CtlError;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::{Text, width, wrap};
use crate::units::{bytes, percent};

/// In a pipe it is told how far something is at each such share, percent.
const TOLD_EVERY: u64 = 10;

/// One change; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct ProgressReport {
    pub(super) node: Option<Text>,
    pub(super) step: Option<StepReport>,
    pub(super) findings: Vec<FindingReport>,
    pub(super) ended: Vec<EndedReport>,
}

#[derive(Debug, Clone, Serialize)]
pub(in super::super) struct StepReport {
    pub(in super::super) name: Text,
    pub(in super::super) state: &'static str,
    pub(super) text: Option<Text>,
    pub(super) done_bytes: Option<u64>,
    pub(super) total_bytes: Option<u64>,
    pub(super) done_count: Option<u32>,
    pub(super) total_count: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct FindingReport {
    check: Text,
    level: &'static str,
    text: Text,
    remedy: Option<Text>,
}

#[derive(Debug, Serialize)]
pub(super) struct EndedReport {
    node: Text,
    result: &'static str,
    text: Option<Text>,
}

impl ProgressReport {
    /// From the controller's message.
    pub(super) fn new(wire: v1::K3sProgress) -> Result<Self, CtlError> {
        let strange = |invalid: Invalid| CtlError::strange_answer(&invalid);
        Ok(Self {
            node: Text::given(&wire.node),
            step: wire.step.map(StepReport::new).transpose().map_err(strange)?,
            findings: wire
                .findings
                .into_iter()
                .map(FindingReport::new)
                .collect::<Result<_, Invalid>>()
                .map_err(strange)?,
            ended: wire.ended.into_iter().map(EndedReport::new).collect::<Result<_, Invalid>>().map_err(strange)?,
        })
    }

    /// The node; empty for none.
    pub(super) fn node_name(&self) -> String {
        self.node.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The step; empty for none.
    pub(super) fn step_name(&self) -> String {
        self.step.as_ref().map(|step| step.name.to_string()).unwrap_or_default()
    }

    /// What must have changed before the step is told of again in a pipe.
    pub(super) fn brief(&self) -> String {
        let Some(step) = &self.step else { return String::new() };
        match step.share().filter(|_| step.state == "running") {
            Some(share) => format!("running {}", share / TOLD_EVERY),
            None => format!("{} {:?}", step.state, step.text),
        }
    }

    /// The change, for a pipe.
    pub(super) fn lines(&self, page: &Page) -> String {
        let step = self.step.iter().map(|step| {
            let what = step.what();
            let what = if what.is_empty() { what } else { format!(": {what}") };
            let state = step.style().paint(step.state, page.colour);
            format!("{}: {}: {state}{what}", self.node_name(), step.name)
        });
        let lines = step.chain(self.finding_lines(page));
        lines.map(|line| line + "\n").collect()
    }

    /// What was found, with what is to be done about it.
    pub(super) fn finding_lines(&self, page: &Page) -> Vec<String> {
        let node = self.node_name();
        let mut lines = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.level != "ok") {
            let level = finding.style().paint(finding.level, page.colour);
            lines.push(format!("{node}: {level}: {}: {}", finding.check, finding.text));
            let remedy = finding.remedy.as_ref().map_or("", Text::as_str);
            let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(2));
            lines
                .extend(wrap(remedy, room).into_iter().filter(|line| !line.is_empty()).map(|line| format!("  {line}")));
        }
        lines
    }

    /// How each node ended. Why it did not end well is never cut.
    pub(super) fn end_lines(&self, page: &Page) -> String {
        let columns = page.columns.unwrap_or(usize::MAX);
        let names = self.ended.iter().map(|ended| width(ended.node.as_str())).max().unwrap_or(0);
        let room = columns.saturating_sub(names.max("NODE".len()) + "  unchanged  ".len());
        let text = |ended: &EndedReport| ended.text.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut table = Table::new(vec![Column::left("NODE"), Column::left("RESULT"), Column::left("")]);
        for ended in &self.ended {
            let beside = Some(text(ended)).filter(|text| width(text) <= room).unwrap_or_default();
            let result = Cell::styled(ended.result, ended.style());
            table.row(vec![Cell::plain(ended.node.as_str()), result, Cell::plain(beside)]);
        }
        let below = |ended: &EndedReport| match Some(text(ended)).filter(|text| width(text) > room) {
            Some(text) => {
                wrap(&text, columns.saturating_sub(2)).into_iter().map(|line| format!("  {line}\n")).collect()
            }
            None => String::new(),
        };
        let below = std::iter::once(String::new()).chain(self.ended.iter().map(below));
        let rows = table.lines(None, page.colour).into_iter().zip(below);
        rows.map(|(row, below)| format!("{row}\n{below}")).collect()
    }
}

impl Report for ProgressReport {
    fn render(&self, page: &Page) -> String {
        if self.ended.is_empty() { self.lines(page) } else { self.end_lines(page) }
    }
}

impl StepReport {
    pub(in super::super) fn new(wire: v1::K3sStep) -> Result<Self, Invalid> {
        let state = match wire.state() {
            State::Running => "running",
            State::Unchanged => "unchanged",
            State::Done => "done",
            State::Failed => "failed",
            State::Skipped => "skipped",
            State::Unspecified => return Err(Invalid::new("state", "is missing")),
        };
        Ok(Self {
            name: Text::new(&wire.name),
            state,
            text: Text::given(&wire.text),
            done_bytes: (wire.total_bytes > 0).then_some(wire.done_bytes),
            total_bytes: (wire.total_bytes > 0).then_some(wire.total_bytes),
            done_count: (wire.total_count > 0).then_some(wire.done_count),
            total_count: (wire.total_count > 0).then_some(wire.total_count),
        })
    }

    /// How far it is, percent; none where nobody knows.
    fn share(&self) -> Option<u64> {
        let of = |done: u64, total: u64| done.min(total).saturating_mul(100).checked_div(total);
        let counted = self.done_count.zip(self.total_count).map(|(done, total)| (done.into(), total.into()));
        self.done_bytes.zip(self.total_bytes).or(counted).and_then(|(done, total)| of(done, total))
    }

    /// What it does, and how far it is.
    pub(in super::super) fn what(&self) -> String {
        let sizes = self.done_bytes.zip(self.total_bytes).map(|(done, total)| {
            format!("{} of {}, {}", bytes(done), bytes(total), percent(self.share().unwrap_or(0) as f32))
        });
        let counts = self.done_count.zip(self.total_count).map(|(done, total)| format!("{done} of {total}"));
        let far = sizes.or(counts).filter(|_| self.state == "running");
        let text = self.text.as_ref().map(ToString::to_string);
        far.into_iter().chain(text).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn style(&self) -> Style {
        match self.state {
            "failed" => Style::Bad,
            "skipped" => Style::Warn,
            "running" => Style::Plain,
            _ => Style::Good,
        }
    }
}

impl FindingReport {
    fn new(wire: v1::K3sFinding) -> Result<Self, Invalid> {
        let level = match wire.level() {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
            Level::Fixed => "fixed",
            Level::Unspecified => return Err(Invalid::new("level", "is missing")),
        };
        let text = Text::new(&wire.text);
        Ok(Self { check: Text::new(&wire.check), level, text, remedy: Text::given(&wire.remedy) })
    }

    fn style(&self) -> Style {
        match self.level {
            "problem" => Style::Bad,
            "warning" => Style::Warn,
            _ => Style::Good,
        }
    }
}

impl EndedReport {
    fn new(wire: v1::K3sEnded) -> Result<Self, Invalid> {
        let result = match wire.result() {
            Ended::Done => "done",
            Ended::Unchanged => "unchanged",
            Ended::Failed => "failed",
            Ended::Skipped => "skipped",
            Ended::Unspecified => return Err(Invalid::new("result", "is missing")),
        };
        Ok(Self { node: Text::new(&wire.node), result, text: Text::given(&wire.text) })
    }

    /// Whether there is nothing to see to.
    pub(super) fn is_good(&self) -> bool {
        self.result != "failed"
    }

    fn style(&self) -> Style {
        match self.result {
            "failed" => Style::Bad,
            "skipped" => Style::Warn,
            _ => Style::Good,
        }
    }
}
