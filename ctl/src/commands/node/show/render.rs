use super::report::{NodeDetailReport, PointReport};
use super::sample::SampleReport;
use crate::output::{Page, Report};
use crate::sparkline::sparkline;
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::{cut, wrap};
use crate::units::{bytes, celsius, count, percent, short_duration};

/// How wide a drawing of the recent past is at most.
const DRAWING_COLUMNS: usize = 40;
/// The least span of a drawn temperature, degrees: noise of a tenth must not look like a fire.
const LEAST_SPAN_CELSIUS: f32 = 10.0;

impl Report for NodeDetailReport {
    fn render(&self, page: &Page) -> String {
        let mut sections = vec![head(self, page), figures(self, page)];
        if let Some(sample) = &self.sample {
            sections.extend([file_systems(sample, page), disks(sample, page), networks(sample, page)]);
            sections.extend([temperatures(sample, page), failed_units(sample, page)]);
        }
        sections.push(record(self, page));
        let sections: Vec<_> = sections.into_iter().filter(|lines| !lines.is_empty()).collect();
        sections.iter().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n\n") + "\n"
    }
}

/// State, what the machine is, and what is wrong with it.
fn head(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    let summary = &report.summary;
    let state = format!("{}: {} for {}", summary.name, summary.state, summary.state_for());
    let mut lines = vec![summary.style().paint(&fitted(&state, page), page.colour)];
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
    lines.extend(summary.label_list().map(|labels| indented(&labels.replace(',', ", "), page)));
    lines
}

/// The figures now, with a drawing of the last hour beside them.
fn figures(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    // Minutes reach further back; a node that has just joined has none yet.
    let points = if report.minutes.len() > 1 { &report.minutes } else { &report.recent };
    let summary = &report.summary;
    let mut lines = Vec::new();
    let mut line = |label: &str,
                    value: Option<String>,
                    figure: fn(&PointReport) -> Option<f32>,
                    show: fn(f32) -> String,
                    scale: Scale| {
        let values: Vec<_> = points.iter().map(figure).collect();
        if value.is_none() && values.iter().all(Option::is_none) {
            return;
        }
        let past = drawing(&values, show, scale, page);
        let text = format!("{label:<8}{:>7}  {past}", value.unwrap_or_else(|| "-".to_owned()));
        lines.push(fitted(text.trim_end(), page));
    };
    line("CPU", summary.cpu_percent.map(percent), |point| point.cpu_percent, percent, Scale::Share);
    line("MEMORY", summary.memory_used_percent.map(percent), |point| point.memory_used_percent, percent, Scale::Share);
    line("TEMP", summary.temperature_celsius.map(celsius), |point| point.temperature_celsius, celsius, Scale::Span);
    let load = report.sample.as_ref().and_then(|sample| sample.load.as_ref());
    if let Some(load) = load {
        lines.push(format!("LOAD    {:>7.2}  {:.2} in 5 min, {:.2} in 15 min", load.one, load.five, load.fifteen));
    }
    if let Some(uptime) = summary.uptime() {
        lines.push(format!("UPTIME  {uptime:>7}"));
    }
    lines
}

/// Between which values a drawing stands.
#[derive(Clone, Copy)]
enum Scale {
    /// From 0 to 100 %.
    Share,
    /// From the lowest to the highest.
    Span,
}

fn drawing(values: &[Option<f32>], show: fn(f32) -> String, scale: Scale, page: &Page) -> String {
    let known = || values.iter().flatten().copied();
    let (Some(low), Some(high)) = (known().min_by(f32::total_cmp), known().max_by(f32::total_cmp)) else {
        return String::new();
    };
    let (bottom, top) = match scale {
        Scale::Share => (0.0, 100.0),
        Scale::Span => (low, high.max(low + LEAST_SPAN_CELSIUS)),
    };
    let range = format!("{} to {}", show(low), show(high));
    let room = page.columns.map_or(DRAWING_COLUMNS, |columns| columns.saturating_sub(20 + range.len()));
    format!("{}  {range}", sparkline(values, bottom, top, room.min(DRAWING_COLUMNS)))
}

fn file_systems(sample: &SampleReport, page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![
        Column::left("FILE SYSTEM").shrinks_to(16),
        Column::left("TYPE").importance(1),
        Column::right("SIZE").importance(3),
        Column::right("USED").importance(2),
        Column::right("FREE"),
        Column::right("USE"),
        Column::right("INODES").importance(1),
        Column::left("").importance(4),
    ]);
    let share = |part: u64, whole: u64| (whole > 0).then(|| percent((part as f64 / whole as f64 * 100.0) as f32));
    for fs in &sample.file_systems {
        let inodes = fs.inodes_used.zip(fs.inodes_total).and_then(|(used, total)| share(used, total));
        table.row(vec![
            Cell::plain(fs.mount_point.as_str()),
            Cell::plain(fs.fs_type.as_str()),
            Cell::plain(bytes(fs.total_bytes)),
            Cell::plain(bytes(fs.used_bytes)),
            Cell::plain(bytes(fs.available_bytes)),
            Cell::optional(share(fs.used_bytes, fs.used_bytes.saturating_add(fs.available_bytes))),
            Cell::optional(inodes),
            Cell::plain(if fs.read_only { "read-only" } else { "" }),
        ]);
    }
    filled(&table, sample.file_systems.len(), page)
}

fn disks(sample: &SampleReport, page: &Page) -> Vec<String> {
    let titles = [Column::right("READ/S"), Column::right("WRITTEN/S"), Column::right("BUSY")];
    let mut table = Table::new([Column::left("DISK").shrinks_to(12)].into_iter().chain(titles).collect());
    for disk in &sample.disks {
        table.row(vec![
            Cell::plain(disk.name.as_str()),
            Cell::plain(bytes(disk.read_bytes_per_second)),
            Cell::plain(bytes(disk.written_bytes_per_second)),
            Cell::plain(percent(disk.busy_percent)),
        ]);
    }
    filled(&table, sample.disks.len(), page)
}

fn networks(sample: &SampleReport, page: &Page) -> Vec<String> {
    let titles = [Column::right("RECEIVED/S"), Column::right("SENT/S"), Column::right("ERRORS")];
    let mut table = Table::new([Column::left("NETWORK").shrinks_to(12)].into_iter().chain(titles).collect());
    for network in &sample.networks {
        table.row(vec![
            Cell::plain(network.name.as_str()),
            Cell::plain(bytes(network.received_bytes_per_second)),
            Cell::plain(bytes(network.sent_bytes_per_second)),
            Cell::plain(network.errors_total.to_string()),
        ]);
    }
    filled(&table, sample.networks.len(), page)
}

fn temperatures(sample: &SampleReport, page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![Column::left("SENSOR").shrinks_to(16), Column::right("TEMP")]);
    for sensor in &sample.temperatures {
        table.row(vec![Cell::plain(sensor.sensor.as_str()), Cell::plain(format!("{:.1}°C", sensor.celsius))]);
    }
    filled(&table, sample.temperatures.len(), page)
}

fn failed_units(sample: &SampleReport, page: &Page) -> Vec<String> {
    let Some(units) = sample.failed_units.as_ref().filter(|units| units.count > 0) else { return Vec::new() };
    let title = format!("FAILED UNITS ({})", units.count);
    let mut lines = vec![Style::Bad.paint(&title, page.colour)];
    lines.extend(units.names.iter().map(|name| fitted(name.as_str(), page)));
    let missing = (units.count as usize).saturating_sub(units.names.len());
    if missing > 0 {
        lines.push(format!("… {missing} more"));
    }
    lines
}

/// What was noted down about the node, and how old all this is.
fn record(report: &NodeDetailReport, page: &Page) -> Vec<String> {
    let summary = &report.summary;
    let mut lines = Vec::new();
    let mut line = |label: &str, value: Option<String>| {
        lines.extend(value.map(|value| fitted(&format!("{label:<13}{value}"), page)));
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

fn filled(table: &Table, rows: usize, page: &Page) -> Vec<String> {
    if rows == 0 { Vec::new() } else { table.lines(page.columns, page.colour) }
}

fn indented(text: &str, page: &Page) -> String {
    format!(
        "  {}",
        fitted(text, &Page { columns: page.columns.map(|columns| columns.saturating_sub(2)), ..page.clone() })
    )
}

fn fitted(text: &str, page: &Page) -> String {
    page.columns.map_or_else(|| text.to_owned(), |columns| cut(text, columns))
}
