//! K3s in `ctl status`.

use rackhaven_proto::v1::K3sSummary;
use serde::Serialize;

use crate::output::Page;
use crate::style::Style;
use crate::text::Text;
use crate::units::count;

/// K3s in a few figures; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct K3sReport {
    nodes: u32,
    not_ready: Vec<Text>,
    cordoned: Vec<Text>,
    problem: Option<Text>,
}

impl K3sReport {
    /// From the controller's answer.
    pub(crate) fn new(summary: &K3sSummary) -> Self {
        let texts = |all: &[String]| all.iter().map(|one| Text::new(one)).collect();
        Self {
            nodes: summary.nodes,
            not_ready: texts(&summary.not_ready),
            cordoned: texts(&summary.cordoned),
            problem: Text::given(&summary.problem),
        }
    }
}

/// The title and its line.
pub(crate) fn section(report: &K3sReport, page: &Page) -> Vec<String> {
    let title = "K3S  ";
    let named = |nodes: &[Text], what: &str| {
        let names = nodes.iter().map(Text::as_str).collect::<Vec<_>>().join(", ");
        (!nodes.is_empty()).then(|| format!("{} {what} ({names})", nodes.len()))
    };
    let (style, text) = match &report.problem {
        Some(problem) => (Style::Bad, format!("its API does not tell: {problem}")),
        None => {
            let told = [named(&report.not_ready, "not ready"), named(&report.cordoned, "cordoned")];
            let all = std::iter::once(count(report.nodes as usize, "node")).chain(told.into_iter().flatten());
            let style = match (report.not_ready.is_empty(), report.cordoned.is_empty()) {
                (false, _) => Style::Bad,
                (true, false) => Style::Warn,
                (true, true) => Style::Plain,
            };
            (style, all.collect::<Vec<_>>().join(" · "))
        }
    };
    let room = Page { columns: page.columns.map(|columns| columns.saturating_sub(title.len())), ..page.clone() };
    vec![format!("{}{}", Style::Bold.paint(title, page.colour), style.paint(&room.fit(&text), page.colour))]
}

#[cfg(test)]
mod tests {
    use super::{K3sReport, K3sSummary, Page, section};
    use crate::times::Zone;

    #[test]
    fn one_line_golden() {
        let page =
            Page { wide: false, columns: Some(60), rows: None, ascii: false, colour: false, zone: Zone::new(None) };
        let told = |not_ready: &[&str], cordoned: &[&str], problem: &str| {
            let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
            let (not_ready, cordoned, problem) = (texts(not_ready), texts(cordoned), problem.to_owned());
            section(&K3sReport::new(&K3sSummary { nodes: 4, not_ready, cordoned, problem }), &page).join("\n")
        };
        assert_eq!(told(&[], &[], ""), "K3S  4 nodes");
        assert_eq!(told(&["pi-1"], &["pi-2", "nas"], ""), "K3S  4 nodes · 1 not ready (pi-1) · 2 cordoned (pi-2, nas)");
        assert_eq!(told(&["pi-1"], &[], "no route"), "K3S  its API does not tell: no route");
    }
}
