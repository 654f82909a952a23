use super::figures::figures;
use super::report::NodeDetailReport;
use super::sample::SampleReport;
use super::tables::{disks, file_systems, networks, storage, temperatures};
use crate::output::{Page, Report};
use crate::style::Style;
use crate::text::wrap;
use crate::units::{bytes, count, short_duration};

impl Report for NodeDetailReport {
    fn render(&self, page: &Page) -> String {
        let mut sections = vec![head(self, page), figures(self, page)];
        if let Some(sample) = &self.sample {
            sections.extend([file_systems(sample, page), disks(sample, page), networks(sample, page)]);
            sections.extend([temperatures(sample, page), storage(sample, page), failed_units(sample, page)]);
        }
        sections.push(record(self, page));
        let sections: Vec<_> = sections.into_iter().filter(|lines| !lines.is_empty()).collect();
        sections.iter().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n\n") + "\n"
    }
}

/// State, what the machine is, and what is wrong with it.
pub(super) fn head(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    let summary = &report.summary;
    let state = format!("{}: {} for {}", summary.name, summary.state, summary.state_for());
    let mut lines = vec![summary.style().paint(&page.fit(&state), page.colour)];
    for problem in &summary.problems {
        let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(2));
        let wrapped = wrap(problem.as_str(), room);
        lines.extend(wrapped.iter().map(|line| format!("  {}", Style::Warn.paint(line, page.colour))));
    }
    let mut machine = Vec::new();
    let mut software = Vec::new();
    if let Some(facts) = &report.facts {
        machine.extend(facts.model.as_ref().map(ToString::to_string));
        machine.extend(summary.arch.as_ref().map(ToString::to_string));
        machine.push(count(facts.cpu_count as usize, "core"));
        machine.push(bytes(facts.memory_total_bytes));
        if facts.hostname != summary.name {
            machine.push(format!("host name {}", facts.hostname));
        }
        software.extend(facts.os.as_ref().map(ToString::to_string));
        software.extend(facts.kernel.as_ref().map(|kernel| format!("Linux {kernel}")));
    }
    software.extend(summary.version.as_ref().map(|version| format!("agent {version}")));
    lines.extend(
        [machine, software].iter().filter(|parts| !parts.is_empty()).map(|parts| indented(&parts.join(", "), page)),
    );
    lines.extend(summary.label_list().map(|labels| indented(&format!("labels {}", labels.replace(',', ", ")), page)));
    lines
}

pub(super) fn failed_units(sample: &SampleReport, page: &Page) -> Vec<String> {
    let Some(units) = sample.failed_units.as_ref().filter(|units| units.count > 0) else { return Vec::new() };
    let title = format!("FAILED UNITS ({})", units.count);
    let mut lines = vec![Style::Bad.paint(&title, page.colour)];
    lines.extend(units.names.iter().map(|name| page.fit(name.as_str())));
    let missing = (units.count as usize).saturating_sub(units.names.len());
    if missing > 0 {
        lines.push(format!("… {missing} more"));
    }
    lines
}

/// What was noted down about the node, and how old all this is.
pub(super) fn record(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    let summary = &report.summary;
    let mut lines = Vec::new();
    let mut line = |label: &str, value: Option<String>| {
        lines.extend(value.map(|value| page.fit(&format!("{label:<13}{value}"))));
    };
    let heard = summary.heard().map(|age| format!("{age} ago"));
    let from = report.peer_address.as_ref().map(|address| format!("from {address}"));
    line("Heard", heard.map(|heard| [Some(heard), from].into_iter().flatten().collect::<Vec<_>>().join(", ")));
    line("Clock", summary.skew().map(|skew| format!("{skew} against the controller's")));
    let serial = report.certificate_serial.as_ref().map(|serial| format!(", serial {serial}")).unwrap_or_default();
    line(
        "Certificate",
        summary.certificate_expires.as_ref().map(|end| format!("until {}{serial}", page.zone.full(end))),
    );
    line("Enrolled", report.enrolled.as_ref().map(|moment| page.zone.full(moment)));
    line(
        "Last run",
        report.last_run.as_ref().map(|run| {
            let ending = match run.ending {
                "clean" => "ended cleanly",
                "agent_killed" => "the agent was killed",
                _ => "the node went down uncleanly",
            };
            run.reason.as_ref().map_or_else(|| ending.to_owned(), |reason| format!("{ending} ({reason})"))
        }),
    );
    if let Some(sample) = &report.sample {
        line("K3s", sample.k3s.as_ref().map(|k3s| format!("{} {}", k3s.unit, k3s.state)));
        let throttling = sample.throttling.as_ref().map(|flags| flags.words()).filter(|words| !words.is_empty());
        line("Firmware", throttling.map(|words| words.join(", ")));
        let cost = |agent: &super::sample::AgentReport| {
            format!("{}, {:.1}% of a core", bytes(agent.resident_bytes), agent.cpu_percent)
        };
        line("Agent takes", sample.agent.as_ref().map(cost));
    }
    line(
        "Data",
        Some(match report.sample_age_seconds {
            Some(seconds) => format!("{} old", short_duration(seconds as u64)),
            None => "none yet".to_owned(),
        }),
    );
    lines
}

fn indented(text: &str, page: &Page) -> String {
    page.fit(&format!("  {text}"))
}
