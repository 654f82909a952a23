use super::headline::headline;
use super::outage::OutageReport;
use super::report::{Phase, PowerReport, WitnessReport};
use super::summary::moved;
use super::timeline::{Span, drawing, event_table};
use super::ups::UpsReport;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::{Text, cut, width, wrap};
use crate::units::{short_duration, spoken};

/// How wide a full battery is drawn.
const CHARGE_COLUMNS: usize = 20;
/// Longest name of a trigger.
const MOST_TRIGGER_COLUMNS: usize = 16;
/// From what charge down a battery is coloured, percent.
const LOW_PERCENT: f32 = 30.0;
/// From what age on a reading is coloured, seconds.
const OLD_SECONDS: f64 = 10.0;

impl Report for PowerReport {
    fn render(&self, page: &Page) -> String {
        draw(self, page, head(self, page))
    }
}

/// The last picture of a controller that no longer answers.
pub(super) fn render_lost(report: &PowerReport, page: &Page, lost_seconds: u64, reason: &str) -> String {
    let took_master = report.outage.as_ref().is_some_and(OutageReport::took_master);
    let lines = match took_master {
        true => vec![
            (Style::Warn, format!("CONTROLLER OFF for {}: its own machine was the last to go", spoken(lost_seconds))),
            (Style::Plain, "What follows is its last word. It comes back with the mains.".to_owned()),
        ],
        false => vec![
            (Style::Bad, format!("UNKNOWN: controller unreachable for {}", spoken(lost_seconds))),
            (Style::Plain, Text::new(reason).to_string()),
            (Style::Plain, format!("It last said: {}", headline(report).1)),
        ],
    };
    let head = lines.iter().map(|(style, line)| style.paint(&page.fit(line), page.colour)).collect();
    draw(report, page, head)
}

/// The first line, wrapped where it must be.
fn head(report: &PowerReport, page: &Page) -> Vec<String> {
    let (style, text) = headline(report);
    page.painted(style, &text)
}

/// All that is known; on a page with a last row, what matters most keeps its room.
fn draw(report: &PowerReport, page: &Page, head: Vec<String>) -> String {
    let moving = report.outage.as_ref().filter(|outage| moved(outage));
    let sections = match (moving, page.rows) {
        (Some(outage), Some(rows)) => live(report, outage, page, rows, head),
        (Some(outage), None) => {
            let mut sections = vec![head, bars(report, outage, page, None)];
            sections.extend(rest(report, page));
            sections
        }
        (None, _) => {
            let mut sections = vec![head];
            sections.extend(rest(report, page));
            sections
        }
    };
    let sections: Vec<_> = sections.iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect();
    let text = sections.join("\n\n") + "\n";
    match page.rows {
        Some(rows) => shortened(&text, rows),
        None => text,
    }
}

/// At most so many lines.
fn shortened(text: &str, rows: usize) -> String {
    let all = text.lines().count();
    if all <= rows {
        return text.to_owned();
    }
    let kept: Vec<_> = text.lines().take(rows.saturating_sub(1)).collect();
    format!("{}\n… {} more lines\n", kept.join("\n"), all - kept.len())
}

/// While nodes move: each UPS in a line, the bars, and what has happened last.
fn live(
    report: &PowerReport,
    outage: &OutageReport,
    page: &Page,
    rows: usize,
    mut head: Vec<String>,
) -> Vec<Vec<String>> {
    head.extend(report.upses.iter().map(|ups| ups_line(ups, page)));
    // Two blank lines, the marks, the legend.
    let room = rows.saturating_sub(head.len() + 4).max(2);
    let bars = bars(report, outage, page, Some(room));
    let left = rows.saturating_sub(head.len() + bars.len() + 2);
    let mut events = event_table(&outage.events, page).split_off(1);
    events.drain(..events.len().saturating_sub(left.saturating_sub(1)));
    vec![head, bars, events]
}

fn bars(report: &PowerReport, outage: &OutageReport, page: &Page, rows: Option<usize>) -> Vec<String> {
    let expected_ms = (report.critical_path_seconds * 1000.0) as u64;
    let span = match report.phase {
        Phase::Restoring => Span::growing(outage, report.outage_age_ms(outage), 0),
        _ => Span::growing(outage, report.outage_age_ms(outage), expected_ms),
    };
    drawing(outage, span, page, rows)
}

/// What does not move: the UPSes, the witnesses, warnings.
fn rest(report: &PowerReport, page: &Page) -> Vec<Vec<String>> {
    let mut sections: Vec<_> = report.upses.iter().map(|ups| ups_block(ups, page)).collect();
    sections.push(witnesses(&report.witnesses, page));
    sections.push(warnings(&report.warnings, page));
    sections
}

/// Sentences under their title.
pub(super) fn warnings(warnings: &[Text], page: &Page) -> Vec<String> {
    if warnings.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Style::Bold.paint("WARNINGS", page.colour)];
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(2).max(20));
    for warning in warnings {
        for (place, line) in wrap(warning.as_str(), room).iter().enumerate() {
            let before = if place == 0 { "! " } else { "  " };
            lines.push(format!("{before}{}", Style::Warn.paint(line, page.colour)));
        }
    }
    lines
}

fn witnesses(witnesses: &[WitnessReport], page: &Page) -> Vec<String> {
    if witnesses.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(vec![Column::left("WITNESS OF MAINS"), Column::left("ANSWERS"), Column::right("HEARD")]);
    for witness in witnesses {
        let heard = witness.heard_seconds_ago.map(|seconds| format!("{} ago", short_duration(seconds as u64)));
        table.row(vec![
            Cell::plain(witness.address.as_str()),
            match witness.answering {
                true => Cell::styled("yes", Style::Good),
                false => Cell::styled("no", Style::Bad),
            },
            Cell::optional(heard),
        ]);
    }
    table.lines(page.columns, page.colour)
}

/// A UPS in one line.
fn ups_line(ups: &UpsReport, page: &Page) -> String {
    let mut parts = vec![ups.name.to_string()];
    match &ups.problem {
        Some(problem) => parts.push(problem.to_string()),
        None => parts.extend(ups.meaning.clone()),
    }
    parts.extend(ups.charge_percent.map(|charge| format!("{charge:.0} %")));
    parts.extend(ups.runtime_seconds.map(|runtime| spoken(u64::from(runtime))));
    parts.extend(ups.load_percent.map(|load| format!("load {load:.0} %")));
    parts.extend(
        ups.reading_age_seconds.filter(|age| *age >= OLD_SECONDS).map(|age| format!("read {} ago", spoken(age as u64))),
    );
    let style = if ups.problem.is_some() { Style::Bad } else { Style::Dim };
    style.paint(&page.fit(&parts.join(" · ")), page.colour)
}

/// A UPS with all that it tells, and what that is good for.
fn ups_block(ups: &UpsReport, page: &Page) -> Vec<String> {
    let model = ups.model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    let mut lines = vec![Style::Bold.paint(&page.fit(&format!("UPS {}{model}", ups.name)), page.colour)];
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(11).max(20));
    let mut line = |label: &str, value: String, style: Style| {
        for (place, part) in wrap(&value, room).iter().enumerate() {
            let label = if place == 0 { label } else { "" };
            lines.push(format!("  {label:<9}{}", style.paint(part, page.colour)));
        }
    };
    if let Some(problem) = &ups.problem {
        line("Problem", problem.to_string(), Style::Bad);
    }
    if let Some(status) = &ups.status {
        let meaning = ups.meaning.as_ref().map(|meaning| format!(" — {meaning}")).unwrap_or_default();
        line("Status", format!("{status}{meaning}"), Style::Plain);
    }
    let volts = |volts: Option<f32>| volts.map(|volts| format!("{volts:.1} V"));
    if let Some(charge) = ups.charge_percent {
        let after = volts(ups.battery_volts).map(|volts| format!(", {volts}")).unwrap_or_default();
        let style = if charge <= LOW_PERCENT { Style::Bad } else { Style::Good };
        line("Charge", format!("{} {charge:.0} %{after}", charge_bar(charge)), style);
    } else if let Some(volts) = volts(ups.battery_volts) {
        line("Battery", volts, Style::Plain);
    }
    let runtime = ups.runtime_seconds.map(|runtime| spoken(u64::from(runtime)));
    line("Runtime", runtime.unwrap_or_else(|| "not told by this UPS".to_owned()), Style::Plain);
    let mut figures = Vec::new();
    figures.extend(ups.load_percent.map(|load| format!("load {load:.0} %")));
    figures.extend(volts(ups.input_volts).map(|volts| format!("input {volts}")));
    figures.extend(ups.temperature_celsius.map(|celsius| format!("{celsius:.0} °C")));
    if !figures.is_empty() {
        line("Figures", figures.join(", "), Style::Plain);
    }
    if ups.replace_battery {
        line("Battery", "wants to be replaced".to_owned(), Style::Warn);
    }
    let (read, style) = match ups.reading_age_seconds {
        Some(age) if age < 1.0 => ("just now".to_owned(), Style::Plain),
        Some(age) if age < OLD_SECONDS => (format!("{} ago", spoken(age as u64)), Style::Plain),
        Some(age) => (format!("{} ago: all figures are from then", spoken(age as u64)), Style::Warn),
        None => ("never".to_owned(), Style::Bad),
    };
    line("Read", read, style);
    match &ups.cut_command {
        Some(command) => {
            line("Cut", format!("can cut the load and bring it back with mains ({command})"), Style::Plain);
        }
        None => line("Cut", "cannot cut the load and bring it back with mains".to_owned(), Style::Warn),
    }
    lines.extend(triggers(ups, page));
    lines
}

/// What can start a shutdown, and what cannot because this UPS does not tell what it needs: each in full.
fn triggers(ups: &UpsReport, page: &Page) -> Vec<String> {
    if ups.triggers.is_empty() {
        return Vec::new();
    }
    let widest = ups.triggers.iter().map(|trigger| width(trigger.name.as_str())).max().unwrap_or(0);
    let name_columns = widest.clamp("TRIGGER".len(), MOST_TRIGGER_COLUMNS);
    let before = 2 + name_columns + 2 + "FED".len() + 2;
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(before).max(20));
    let mut lines =
        vec![Style::Bold.paint(&page.fit(&format!("  {:name_columns$}  FED  DETAIL", "TRIGGER")), page.colour)];
    for trigger in &ups.triggers {
        let name = cut(trigger.name.as_str(), name_columns);
        let (word, style) = if trigger.fed { ("yes", Style::Good) } else { ("no", Style::Warn) };
        let (after_name, after_word) = (" ".repeat(name_columns - width(&name) + 2), " ".repeat(5 - word.len()));
        let mut head = format!("  {name}{after_name}{}{after_word}", style.paint(word, page.colour));
        for line in wrap(trigger.detail.as_str(), room) {
            lines.push(format!("{head}{line}").trim_end().to_owned());
            head = " ".repeat(before);
        }
    }
    lines
}

/// A battery, as full as it is.
fn charge_bar(percent: f32) -> String {
    let share = if percent.is_finite() { (percent / 100.0).clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * CHARGE_COLUMNS as f32).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(CHARGE_COLUMNS - full))
}
