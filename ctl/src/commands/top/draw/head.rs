use rackhaven_proto::model::{Supply, Verdict};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{hint, interval, put, put_painted};
use crate::commands::power::{PowerReport, UpsReport};
use crate::commands::status::verdict_text;
use crate::commands::top::view::{Link, MAX_GAUGES, View};
use crate::commands::{backup, power};
use crate::output::Page;
use crate::style::Style;
use crate::text::{cut, width};
use crate::units::{short_duration, spoken};

/// From what age on the data's age is coloured, seconds.
const OLD_SECONDS: f64 = 30.0;
/// An answer that takes longer than this is spoken of, milliseconds.
const SLOW_MS: u64 = 2_000;
/// The widest bar of a battery, columns.
const GAUGE: usize = 30;

pub(super) fn verdict_style(view: &View) -> Style {
    match view.report.verdict {
        Verdict::Ok => Style::Good,
        Verdict::Degraded => Style::Warn,
        Verdict::Critical => Style::Bad,
    }
}

/// The fleet in a line, or that nothing is known; at its end, whose it is.
pub(super) fn verdict(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let cluster = &view.report.cluster;
    let whose = match &view.report.context {
        Some(context) if context != cluster.as_str() => format!("{cluster} ({context})"),
        _ => cluster.to_string(),
    };
    let taken = hint(buffer, area, &whose);
    let area = Rect { width: area.width - taken, ..area };
    match &view.link {
        Link::Answers => put(buffer, area, verdict_style(view), &verdict_text(&view.report)),
        Link::Lost(since_ms, _) => {
            let silent = spoken(now_ms.saturating_sub(*since_ms) / 1000);
            put(buffer, area, Style::Bad, &format!("UNKNOWN: controller unreachable for {silent}, retrying"));
        }
    }
}

/// How old the picture is, and how it comes.
pub(super) fn age(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let since_answer = view.age_seconds(now_ms);
    let age = view.report.data_age_seconds.map(|seconds| seconds + since_answer);
    let mut parts = vec![match age {
        Some(seconds) => format!("data {} old", short_duration(seconds as u64)),
        None => "no data yet".to_owned(),
    }];
    let style = match (&view.link, age) {
        (Link::Lost(..), _) => Style::Warn,
        (_, Some(seconds)) if seconds >= OLD_SECONDS => Style::Warn,
        _ => Style::Dim,
    };
    match &view.link {
        Link::Lost(_, reason) => {
            parts.push(reason.clone());
            parts.push(format!("it last said {}", verdict_text(&view.report)));
        }
        Link::Answers => {
            parts.push(match view.paused {
                true => format!("PAUSED for {}, p goes on", short_duration(since_answer as u64)),
                false => format!("every {}", interval(view.every)),
            });
            let waited_ms = view.asked_ms.map_or(0, |asked| now_ms.saturating_sub(asked));
            if waited_ms >= SLOW_MS {
                parts.push(format!("no answer for {} s", waited_ms / 1000));
            }
            let controller = &view.report.controller;
            let uptime = short_duration((controller.uptime_seconds + since_answer) as u64);
            parts.push(format!("controller {} up {uptime}", controller.version));
            parts.push(format!("at {}", controller.address));
        }
    }
    let style = if view.paused && style == Style::Dim { Style::Warn } else { style };
    put(buffer, area, style, &parts.join(" · "));
}

/// The supply in a line, and its batteries.
pub(super) fn power(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let Some(report) = &view.report.power else { return };
    let report = report.aged(view.age_seconds(now_ms));
    let page = Page { columns: Some(area.width.into()), ..view.page.clone() };
    let mut lines = power::section(&report, &page);
    lines.extend(gauges(&report, usize::from(area.width)));
    for (row, line) in lines.iter().enumerate() {
        put_painted(buffer, area, row, line);
    }
}

/// A bar for each battery.
fn gauges(report: &PowerReport, columns: usize) -> Vec<String> {
    let most = if report.upses.len() > MAX_GAUGES { MAX_GAUGES - 1 } else { MAX_GAUGES };
    let name_columns = report.upses.iter().map(|ups| width(ups.name.as_str())).max().unwrap_or(0).min(20);
    let bar_columns = GAUGE.min(columns / 4);
    let gauge = |ups: &UpsReport| {
        let mut line = format!("{:7}", "");
        let name = cut(ups.name.as_str(), name_columns);
        line.push_str(&format!("{name:<name_columns$} "));
        match ups.charge_percent {
            Some(charge) => {
                let full = (charge.clamp(0.0, 100.0) / 100.0 * bar_columns as f32).round() as usize;
                let style = match (ups.supply, charge) {
                    (_, ..20.0) => Style::Bad,
                    (Supply::Mains, 90.0..) => Style::Good,
                    _ => Style::Warn,
                };
                style.paint_into(&mut line, &"█".repeat(full), true);
                Style::Dim.paint_into(&mut line, &"░".repeat(bar_columns - full.min(bar_columns)), true);
                line.push_str(&format!(" {charge:>3.0}%"));
            }
            None => Style::Dim.paint_into(&mut line, "charge not known", true),
        }
        let figures = [
            ups.problem.as_ref().map(|problem| (Style::Bad, problem.to_string())),
            ups.runtime_seconds.map(|seconds| (Style::Plain, spoken(seconds.into()))),
            ups.load_percent.map(|load| (Style::Plain, format!("load {load:.0}%"))),
            ups.input_volts.map(|volts| (Style::Plain, format!("{volts:.0} V"))),
            ups.meaning.as_ref().map(|meaning| (Style::Dim, meaning.clone())),
        ];
        // What does not fit is left out whole; a battery that cannot be read says so in any case.
        let mut left = columns.saturating_sub(7 + name_columns + 1 + bar_columns + 5);
        for (style, text) in figures.into_iter().flatten() {
            if left < width(&text) + 2 && style != Style::Bad {
                break;
            }
            left = left.saturating_sub(width(&text) + 2);
            line.push_str("  ");
            style.paint_into(&mut line, &text, true);
        }
        line
    };
    let mut lines: Vec<_> = report.upses.iter().take(most).map(gauge).collect();
    if report.upses.len() > most {
        lines.push(format!("{:7}… {} more, 4 shows all", "", report.upses.len() - most));
    }
    lines
}

/// The backups in a line.
pub(super) fn backups(view: &View, area: Rect, buffer: &mut Buffer) {
    let Some(report) = &view.report.backups else { return };
    let page = Page { columns: Some(area.width.into()), ..view.page.clone() };
    for (row, line) in backup::section(report, &page).iter().enumerate() {
        put_painted(buffer, area, row, line);
    }
}
