use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::{put, put_painted, titled};
use crate::commands::alerts;
use crate::commands::events::event_table;
use crate::commands::top::plan::Panel;
use crate::commands::top::view::View;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::times::seconds_between;
use crate::units::short_duration;

/// What fires.
pub(super) fn alerts(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let all = &view.report.alerts;
    let firing = view.report.alerts_firing as usize;
    let title = if firing == 0 { "ALERTS none".to_owned() } else { format!("ALERTS {firing} firing") };
    let rows = usize::from(area.height.saturating_sub(1));
    let offset = view.alerts.offset;
    let rest = match all.len() > rows {
        true => format!("{}-{} shown", offset + 1, (offset + rows).min(all.len())),
        false => String::new(),
    };
    let focused = view.panel == Panel::Alerts;
    let inner = titled(buffer, area, &title, focused, &rest);
    let elapsed = view.age_seconds(now_ms) as u64;
    let mut table = Table::new(vec![
        Column::right("AGE").expects(6),
        Column::left("SEVERITY").importance(3).expects(8),
        Column::left("WHAT").shrinks_to(24),
        Column::left("SAID").importance(2),
        Column::left("ALERT").importance(1),
    ]);
    for alert in all {
        let age = view.report.time.as_ref().zip(alert.since.as_ref());
        let age = age.and_then(|(now, since)| seconds_between(since, now));
        let node = alert.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        let said = alert.said();
        let style = if said.is_empty() { alerts::style(alert.severity) } else { Style::Plain };
        table.row(vec![
            Cell::optional(age.map(|age| short_duration(age + elapsed))),
            Cell::styled(alert.severity.as_str(), style),
            Cell::styled(format!("{node}{}", alert.summary), style),
            Cell::styled(said, Style::Dim),
            Cell::styled(alert.key.as_str(), Style::Dim),
        ]);
    }
    // Severities need no titles.
    let lines = table.lines(Some(area.width.into()), true);
    for (row, line) in lines.iter().skip(1 + offset).enumerate() {
        put_painted(buffer, inner, row, line);
    }
    if focused && !all.is_empty() {
        let row = u16::try_from(view.alerts.at - offset).unwrap_or(0);
        let chosen = Rect { y: inner.y + row, height: 1, ..inner };
        buffer.set_style(chosen.intersection(inner), Modifier::REVERSED);
    }
}

/// What has happened last; the newest at the foot.
pub(super) fn events(view: &View, area: Rect, buffer: &mut Buffer) {
    let rest = match view.newer {
        0 => "newest last".to_owned(),
        newer => format!("{newer} newer below"),
    };
    let inner = titled(buffer, area, "EVENTS", view.panel == Panel::Events, &rest);
    if inner.height == 0 {
        return;
    }
    if view.events.is_empty() {
        return put(buffer, inner, Style::Dim, "none");
    }
    let end = view.events.len() - view.newer.min(view.events.len());
    let start = end.saturating_sub(inner.height.into());
    let in_sight: Vec<_> = view.events.range(start..end).cloned().collect();
    let text = event_table(&in_sight, &page(view, inner));
    for (row, line) in text.lines().skip(1).enumerate() {
        put_painted(buffer, inner, row, line);
    }
}

/// The page of `ctl power status`.
pub(super) fn power(view: &View, area: Rect, now_ms: u64, buffer: &mut Buffer) {
    let inner = titled(buffer, area, "POWER", view.panel == Panel::Power, "as in ctl power status");
    let Some(report) = &view.report.power else {
        return put(buffer, inner, Style::Dim, "the controller says nothing about power");
    };
    let text = report.aged(view.age_seconds(now_ms)).render(&page(view, inner));
    for (row, line) in text.lines().enumerate() {
        put_painted(buffer, inner, row, line);
    }
}

fn page(view: &View, area: Rect) -> Page {
    Page { columns: Some(area.width.into()), rows: Some(area.height.into()), ..view.page.clone() }
}
