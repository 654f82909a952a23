//! A node as `ctl top` shows it: the sections of `ctl node show`, and figures to be drawn large.

use rackhaven_proto::Invalid;
use rackhaven_proto::v1::NodeDetail;

use super::render::{failed_units, head, record};
use super::report::{NodeDetailReport, PointReport};
use super::sample::LoadReport;
use super::tables::{disks, file_systems, networks, temperatures};
use crate::commands::node::NodeReport;
use crate::output::Page;
use crate::style::Style;
use crate::units::{celsius, percent};

/// The span of a drawn temperature, degrees.
const TEMPERATURES_CELSIUS: (f32, f32) = (20.0, 90.0);

/// All that is known of one node.
#[derive(Debug)]
pub(crate) struct LiveNode(NodeDetailReport);

/// One figure over time.
#[derive(Debug)]
pub(crate) struct Graph {
    /// What it is.
    pub(crate) title: &'static str,
    /// How it is now.
    pub(crate) now: Option<String>,
    /// Oldest first; none where nothing was measured.
    pub(crate) values: Vec<Option<f32>>,
    /// Between which values it is drawn.
    pub(crate) bounds: (f32, f32),
}

impl LiveNode {
    /// From the controller's answer.
    pub(crate) fn new(detail: NodeDetail) -> Result<Self, Invalid> {
        NodeDetailReport::new(detail).map(Self)
    }

    /// Name, state and figures.
    pub(crate) fn summary(&self) -> &NodeReport {
        &self.0.summary
    }

    /// What the graphs cover.
    pub(crate) fn period(&self) -> &'static str {
        if self.of_minutes() { "last hour" } else { "lately" }
    }

    /// Minutes reach further back; a node that has just joined has none yet.
    fn of_minutes(&self) -> bool {
        self.0.minutes.len() > 1
    }

    /// CPU, memory and temperature.
    pub(crate) fn graphs(&self) -> [Graph; 3] {
        let points = if self.of_minutes() { &self.0.minutes } else { &self.0.recent };
        let summary = self.summary();
        let graph = |title, now, show: fn(f32) -> String, past: fn(&PointReport) -> Option<f32>, bounds| Graph {
            title,
            now: Some(now).filter(|_| summary.is_there()).flatten().map(show),
            values: points.iter().map(past).collect(),
            bounds,
        };
        [
            graph("CPU", summary.cpu_percent, percent, |point| point.cpu_percent, (0.0, 100.0)),
            graph("MEMORY", summary.memory_used_percent, percent, |point| point.memory_used_percent, (0.0, 100.0)),
            graph(
                "TEMP",
                summary.temperature_celsius,
                celsius,
                |point| point.temperature_celsius,
                TEMPERATURES_CELSIUS,
            ),
        ]
    }

    /// What is wrong first, then all that was measured, then what was noted down; blank lines between.
    pub(crate) fn lines(&self, page: &Page) -> Vec<String> {
        let mut sections = vec![head(&self.0, page)];
        if let Some(sample) = &self.0.sample {
            sections
                .extend([failed_units(sample, page), cores(sample.cpu.as_ref().map(|cpu| &*cpu.core_percent), page)]);
            sections.extend([load(sample.load.as_ref(), page), file_systems(sample, page), temperatures(sample, page)]);
            sections.extend([disks(sample, page), networks(sample, page)]);
        }
        sections.push(record(&self.0, page));
        sections.retain(|lines| !lines.is_empty());
        sections.join(&String::new())
    }
}

/// How busy each core is, several in a line.
fn cores(percents: Option<&[f32]>, page: &Page) -> Vec<String> {
    const BAR: usize = 10;
    let percents = percents.unwrap_or_default();
    let cell = |(number, share): (usize, &f32)| {
        let full = (share.clamp(0.0, 100.0) / 100.0 * BAR as f32).round() as usize;
        format!("{number:>3} {}{} {:>4}", "█".repeat(full), "░".repeat(BAR - full.min(BAR)), percent(*share))
    };
    let cells: Vec<_> = percents.iter().enumerate().map(cell).collect();
    let in_line = (page.columns.unwrap_or(80) / (BAR + 12)).max(1);
    let mut lines: Vec<_> = cells.chunks(in_line).map(|cells| page.fit(cells.join("   ").trim_end())).collect();
    if !lines.is_empty() {
        lines.insert(0, Style::Bold.paint("CORES", page.colour));
    }
    lines
}

fn load(load: Option<&LoadReport>, page: &Page) -> Vec<String> {
    let told =
        load.map(|load| format!("LOAD  {:.2}, {:.2} in 5 min, {:.2} in 15 min", load.one, load.five, load.fifteen));
    told.map(|line| page.fit(&line)).into_iter().collect()
}
