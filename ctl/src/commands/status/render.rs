use rackhaven_proto::model::Verdict;

use super::StatusReport;
use crate::commands::node::{NodeReport, node_table};
use crate::commands::{alerts, backup, k3s, power};
use crate::output::{Page, Report};
use crate::style::Style;
use crate::text::{Text, cut, width, wrap};
use crate::units::short_duration;

/// From what age on the data's age is coloured, seconds.
const OLD_SECONDS: f64 = 30.0;
/// Rows that the nodes and what is around them want before there is one for K3s.
const LEAST_ROWS: usize = 16;
/// A controller that started less than so long ago may not have heard of all nodes yet, seconds.
const FRESH_SECONDS: f64 = 120.0;

impl Report for StatusReport {
    fn render(&self, page: &Page) -> String {
        draw(self, page, verdict_line(self, page))
    }
}

/// The last picture of a controller that no longer answers.
pub(super) fn render_lost(report: &StatusReport, page: &Page, lost_seconds: u64, reason: &str) -> String {
    let lost = format!("UNKNOWN: controller unreachable for {}", short_duration(lost_seconds));
    let mut head = vec![Style::Bad.paint(&page.fit(&lost), page.colour)];
    head.push(page.fit(reason));
    head.push(page.fit(&format!("It last said: {}", verdict_text(report))));
    draw(report, page, head)
}

fn verdict_line(report: &StatusReport, page: &Page) -> Vec<String> {
    let style = match report.verdict {
        Verdict::Ok => Style::Good,
        Verdict::Degraded => Style::Warn,
        Verdict::Critical => Style::Bad,
    };
    page.painted(style, &verdict_text(report))
}

/// Verdict and reason in a line.
pub(crate) fn verdict_text(report: &StatusReport) -> String {
    let word = report.verdict.as_str().to_uppercase();
    match report.reason.as_str() {
        "" => word,
        reason => format!("{word}: {reason}"),
    }
}

/// Verdict, nodes, problems, and the age of it all; cut to the page's rows, so that first and last line stay in sight.
fn draw(report: &StatusReport, page: &Page, head: Vec<String>) -> String {
    let mut nodes = match report.nodes.is_empty() {
        true => vec!["No nodes yet. Invite the first: ctl node invite".to_owned()],
        false => node_table(&report.nodes, page).lines(page.columns, page.colour),
    };
    let power = report.power.as_ref().map_or_else(Vec::new, |power| power::section(power, page));
    let backups = report.backups.as_ref().map_or_else(Vec::new, |backups| backup::section(backups, page));
    let mut k3s = report.k3s.as_ref().map_or_else(Vec::new, |k3s| k3s::section(k3s, page));
    let alerts = alerts::section(&report.alerts, report.alerts_firing, page);
    let mut problems = problem_lines(report, page);
    if let Some(rows) = page.rows {
        let others = head.len() + power.len() + backups.len() + alerts.len();
        if rows.saturating_sub(others + k3s.len()) < LEAST_ROWS {
            // What is wrong with it is among the alerts, too.
            k3s.clear();
        }
        let optional = [&problems, &power, &backups, &k3s, &alerts];
        let blanks = 2 + optional.iter().filter(|lines| !lines.is_empty()).count();
        let room =
            rows.saturating_sub(head.len() + power.len() + backups.len() + k3s.len() + alerts.len() + 1 + blanks);
        // Problems may take what the nodes leave, and a third of the room in any case.
        let for_problems = room.saturating_sub(nodes.len()).max(room / 3);
        shorten(&mut problems, for_problems);
        shorten(&mut nodes, room.saturating_sub(problems.len()));
    }
    let last = last_line(report, page);
    let sections = [head, alerts, power, backups, k3s, nodes, problems, vec![last]];
    let sections: Vec<_> = sections.iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect();
    sections.join("\n\n") + "\n"
}

/// Cuts a section with a title to so many lines, and says how many are missing.
fn shorten(lines: &mut Vec<String>, room: usize) {
    if lines.len() > room {
        let missing = lines.len() - room.saturating_sub(1);
        lines.truncate(room.saturating_sub(1));
        lines.push(format!("… {missing} more"));
    }
}

fn problem_lines(report: &StatusReport, page: &Page) -> Vec<String> {
    // That a node is down stands in its row already.
    let told = |node: &NodeReport, problem: &Text| problem.as_str() == node.state.as_str();
    let troubled: Vec<_> =
        report.nodes.iter().filter(|node| node.problems.iter().any(|problem| !told(node, problem))).collect();
    if troubled.is_empty() {
        return Vec::new();
    }
    let indent = troubled.iter().map(|node| width(node.name.as_str())).max().unwrap_or(0).min(32) + 2;
    let mut lines = vec![Style::Bold.paint("PROBLEMS", page.colour)];
    for node in troubled {
        let mut name = cut(node.name.as_str(), indent - 2).into_owned();
        for problem in node.problems.iter().filter(|problem| !told(node, problem)) {
            let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(indent).max(20));
            for line in wrap(problem.as_str(), room) {
                let blank = indent - width(&name);
                lines.push(format!("{}{:blank$}{line}", node.style().paint(&name, page.colour), ""));
                name.clear();
            }
        }
    }
    lines
}

/// How old the data is, and whose it is.
fn last_line(report: &StatusReport, page: &Page) -> String {
    let age = match report.data_age_seconds {
        Some(seconds) => format!("data {} old", short_duration(seconds as u64)),
        None => "no data yet".to_owned(),
    };
    let mut parts = vec![age, format!("cluster {}", report.cluster)];
    parts.extend(report.context.as_ref().map(|context| format!("context {context}")));
    let uptime = short_duration(report.controller.uptime_seconds as u64);
    parts.push(match report.controller.uptime_seconds < FRESH_SECONDS {
        true => format!("controller started {uptime} ago"),
        false => format!("controller {}", report.controller.version),
    });
    if page.wide {
        parts.push(format!("at {}", report.controller.address));
        parts.push(format!("up {uptime}"));
        let date = |moment: &String| format!("certificate until {}", page.zone.date(moment));
        parts.extend(report.controller.certificate_expires.as_ref().map(date));
    }
    let style = match report.data_age_seconds {
        Some(seconds) if seconds < OLD_SECONDS => Style::Dim,
        None if report.nodes.is_empty() => Style::Dim,
        _ => Style::Warn,
    };
    style.paint(&page.fit(&parts.join(" · ")), page.colour)
}
