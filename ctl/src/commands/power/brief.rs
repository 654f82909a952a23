//! The power section of `ctl status`.

use super::headline::{brief, nodes, stage};
use super::report::{Phase, PowerReport};
use crate::output::Page;
use crate::style::Style;

/// The title and its line; a second line while nodes go down or come back. Nothing where there is no UPS and nothing
/// goes on.
pub(crate) fn section(report: &PowerReport, page: &Page) -> Vec<String> {
    if report.phase == Phase::None && report.outage.is_none() {
        return Vec::new();
    }
    let title = "POWER  ";
    let (style, text) = brief(report);
    let room = |text: &str| {
        Page { columns: page.columns.map(|columns| columns.saturating_sub(title.len())), ..page.clone() }.fit(text)
    };
    let mut lines =
        vec![format!("{}{}", Style::Bold.paint(title, page.colour), style.paint(&room(&text), page.colour))];
    if let Some(outage) = report.outage.as_ref().filter(|outage| outage.count(&["running"]) < outage.nodes.len()) {
        let what = match outage.kind.as_str() {
            "drill" => format!("drill no. {}: ", outage.number),
            _ => String::new(),
        };
        let stage = stage(outage).map(|stage| format!("stage {stage}: ")).unwrap_or_default();
        let told = format!("{what}{stage}{}", nodes(outage, report.phase == Phase::Restoring || outage.is_drill()));
        lines.push(format!("{:1$}{2}", "", title.len(), room(&told)));
    }
    lines
}
