use super::sample::SampleReport;
use crate::output::Page;
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::units::{bytes, celsius, percent};

/// What is used of each file system.
pub(super) fn file_systems(sample: &SampleReport, page: &Page) -> Vec<String> {
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

/// What the disks do.
pub(super) fn disks(sample: &SampleReport, page: &Page) -> Vec<String> {
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

/// What goes over the network.
pub(super) fn networks(sample: &SampleReport, page: &Page) -> Vec<String> {
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

/// How hot it is.
pub(super) fn temperatures(sample: &SampleReport, page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![Column::left("SENSOR").shrinks_to(16), Column::right("TEMP")]);
    for sensor in &sample.temperatures {
        table.row(vec![Cell::plain(sensor.sensor.as_str()), Cell::plain(format!("{:.1}°C", sensor.celsius))]);
    }
    filled(&table, sample.temperatures.len(), page)
}

/// How worn or damaged disks and cards are.
pub(super) fn storage(sample: &SampleReport, page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![
        Column::left("STORAGE").shrinks_to(12),
        Column::left("MODEL").shrinks_to(16).importance(1),
        Column::left("HEALTH").shrinks_to(24),
        Column::right("TEMP").importance(1),
    ]);
    for storage in &sample.storage {
        let style = if storage.ails() { Style::Bad } else { Style::Plain };
        table.row(vec![
            Cell::plain(storage.device.as_str()),
            Cell::plain(storage.model.as_str()),
            Cell::styled(storage.words(), style),
            Cell::optional(storage.celsius.map(celsius)),
        ]);
    }
    filled(&table, sample.storage.len(), page)
}

fn filled(table: &Table, rows: usize, page: &Page) -> Vec<String> {
    if rows == 0 { Vec::new() } else { table.lines(page.columns, page.colour) }
}
