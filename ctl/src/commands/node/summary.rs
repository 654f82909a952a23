use std::collections::BTreeMap;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1::{self, NodeSummary};
use serde::Serialize;

use crate::output::{Page, as_word};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::rfc3339_given;
use crate::units::{celsius, percent, short_duration, signed_ms};

/// One node in `status`, `node list` and `node show`; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeReport {
    pub(crate) name: Text,
    #[serde(serialize_with = "as_word")]
    pub(crate) state: NodeState,
    pub(crate) arch: Option<Text>,
    pub(crate) version: Option<Text>,
    pub(crate) labels: BTreeMap<Text, Text>,
    pub(crate) state_seconds: f64,
    pub(crate) heard_seconds_ago: Option<f64>,
    pub(crate) clock_skew_seconds: Option<f64>,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) cpu_percent: Option<f32>,
    pub(crate) load_one: Option<f32>,
    pub(crate) memory_used_percent: Option<f32>,
    pub(crate) disk_used_percent: Option<f32>,
    pub(crate) disk_mount_point: Option<Text>,
    pub(crate) temperature_celsius: Option<f32>,
    pub(crate) problems: Vec<Text>,
    pub(crate) certificate_expires: Option<String>,
}

impl NodeReport {
    /// From the controller's answer.
    pub(crate) fn new(node: NodeSummary) -> Result<Self, Invalid> {
        let state = node.state;
        let state = v1::NodeState::try_from(state)
            .map_err(|_| Invalid::new("node state", format!("{state} is not known")))?
            .try_into()?;
        let seconds = |ms: u64| ms as f64 / 1000.0;
        Ok(Self {
            name: Text::new(&node.name),
            state,
            arch: Text::given(&node.arch),
            version: Text::given(&node.agent_version),
            labels: node.labels.iter().map(|(key, value)| (Text::new(key), Text::new(value))).collect(),
            state_seconds: seconds(node.state_for_ms),
            heard_seconds_ago: node.heard_ms_ago.map(seconds),
            clock_skew_seconds: node.clock_skew_ms.map(|ms| ms as f64 / 1000.0),
            uptime_seconds: node.uptime_seconds.filter(|value| value.is_finite()),
            cpu_percent: finite(node.cpu_percent),
            load_one: finite(node.load_one),
            memory_used_percent: finite(node.memory_used_percent),
            disk_used_percent: finite(node.disk_used_percent),
            disk_mount_point: Text::given(&node.disk_mount_point),
            temperature_celsius: finite(node.temperature_celsius),
            problems: node.problems.iter().map(|problem| Text::new(problem)).collect(),
            certificate_expires: rfc3339_given(node.certificate_ends_unix_ms),
        })
    }

    /// How the node's name and state are coloured.
    pub(crate) fn style(&self) -> Style {
        match self.state {
            NodeState::Down => Style::Bad,
            NodeState::Suspect | NodeState::Unknown => Style::Warn,
            NodeState::Up if !self.problems.is_empty() => Style::Warn,
            NodeState::Up => Style::Good,
            NodeState::Off => Style::Dim,
        }
    }

    /// Whether its figures are of the present.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self.state, NodeState::Up | NodeState::Suspect)
    }

    /// `role=worker,stage=1`, or none.
    pub(crate) fn label_list(&self) -> Option<String> {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (!labels.is_empty()).then(|| labels.join(","))
    }

    /// How long it is in its state.
    pub(crate) fn state_for(&self) -> String {
        short_duration(self.state_seconds as u64)
    }

    /// When it was last heard, as an age.
    pub(crate) fn heard(&self) -> Option<String> {
        self.heard_seconds_ago.map(|seconds| short_duration(seconds as u64))
    }

    /// Its clock's error.
    pub(crate) fn skew(&self) -> Option<String> {
        self.clock_skew_seconds.map(|seconds| signed_ms((seconds * 1000.0) as i64))
    }

    /// How long it runs.
    pub(crate) fn uptime(&self) -> Option<String> {
        self.uptime_seconds.map(|seconds| short_duration(seconds as u64))
    }
}

/// What is no number was not measured.
pub(crate) fn finite(value: Option<f32>) -> Option<f32> {
    value.filter(|value| value.is_finite())
}

/// The nodes with their figures.
pub(crate) fn node_table(nodes: &[NodeReport], page: &Page) -> Table {
    let mut columns = vec![
        Column::left("NAME").shrinks_to(16),
        Column::left("STATE"),
        Column::right("FOR").importance(7),
        Column::right("CPU").importance(3),
        Column::right("MEM").importance(5),
        Column::right("DISK").importance(6),
        Column::right("TEMP").importance(4),
        Column::right("LOAD").importance(2),
        Column::right("UPTIME").importance(1),
    ];
    if page.wide {
        columns.extend(["FULLEST", "ARCH", "VERSION"].map(Column::left));
        columns.extend(["HEARD", "SKEW"].map(Column::right));
        columns.extend(["CERT", "LABELS"].map(Column::left));
    }
    let mut table = Table::new(columns);
    for node in nodes {
        // What was last measured on a node that is gone would be taken for the present.
        let figure = |text: Option<String>| Cell::optional(text.filter(|_| node.is_there()));
        let mut cells = vec![
            Cell::plain(node.name.as_str()),
            Cell::styled(node.state.as_str(), node.style()),
            Cell::plain(node.state_for()),
            figure(node.cpu_percent.map(percent)),
            figure(node.memory_used_percent.map(percent)),
            figure(node.disk_used_percent.map(percent)),
            figure(node.temperature_celsius.map(celsius)),
            figure(node.load_one.map(|load| format!("{load:.2}"))),
            figure(node.uptime()),
        ];
        if page.wide {
            cells.extend([
                figure(node.disk_mount_point.as_ref().map(ToString::to_string)),
                Cell::optional(node.arch.as_ref().map(ToString::to_string)),
                Cell::optional(node.version.as_ref().map(ToString::to_string)),
                Cell::optional(node.heard()),
                Cell::optional(node.skew()),
                Cell::optional(node.certificate_expires.as_ref().map(|moment| page.zone.date(moment))),
                Cell::optional(node.label_list()),
            ]);
        }
        table.row(cells);
    }
    table
}
