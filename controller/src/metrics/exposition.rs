use rackhaven_proto::VERSION;
use rackhaven_proto::model::Severity;

use super::catalogue::*;
use super::page::{Form, Page, seconds};
use super::snapshot::{ControllerFigures, Snapshot};
use super::{of_backups, of_k3s, of_nodes, of_power};
use crate::alerts::rules::RULES;

/// Writes all metrics; `room_bytes` as many as it may take. Pure.
pub fn expose(snapshot: &Snapshot, form: Form, room_bytes: usize) -> String {
    let mut page = Page::new(form, room_bytes);
    page.family(&BUILD).put(&[VERSION], true);
    page.family(&CLUSTER).put(&[&snapshot.cluster, snapshot.cluster_id.as_str()], true);
    page.family(&VERDICT).put_one_of(&[], &["ok", "degraded", "critical"], snapshot.verdict.as_str());
    of_nodes::write(&mut page, snapshot);
    of_k3s::write(&mut page, &snapshot.k3s);
    if let Some(power) = &snapshot.power {
        of_power::write(&mut page, power);
    }
    of_backups::write(&mut page, &snapshot.backups);
    alerts(&mut page, snapshot);
    controller(&mut page, snapshot);
    page.finish()
}

fn alerts(page: &mut Page, snapshot: &Snapshot) {
    let mut firing = page.family(&ALERTS);
    for rule in RULES {
        // Those of no alert too, so that a series does not begin with what must not be missed.
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            let count = snapshot.alerts.get(&(rule.rule, severity)).copied().unwrap_or(0);
            firing.put(&[rule.name, severity.as_str()], count);
        }
    }
    let mut outbox = page.family(&OUTBOX);
    for (channel, waiting) in snapshot.outbox.iter().flatten() {
        outbox.put(&[channel], *waiting);
    }
}

fn controller(page: &mut Page, snapshot: &Snapshot) {
    let ControllerFigures {
        connections,
        certificate_ends_unix_ms,
        disk,
        databases,
        cpu_ms,
        resident_bytes,
        open_fds,
        max_fds,
        started_unix_ms,
    } = &snapshot.controller;
    let sessions = snapshot.nodes.iter().filter(|node| !node.view.peer_address.is_empty()).count();
    page.single(&SESSIONS, sessions as u64);
    page.single(&CONNECTIONS, *connections);
    page.single(&SERVER_CERTIFICATE, seconds(*certificate_ends_unix_ms));
    if let Some((size, avail)) = disk {
        page.single(&DISK_SIZE, *size);
        page.single(&DISK_AVAIL, *avail);
    }
    let mut sizes = page.family(&DATABASE);
    for (name, bytes) in databases {
        sizes.put(&[name], *bytes);
    }
    if let Some(ms) = cpu_ms {
        page.single(&PROCESS_CPU, seconds(*ms));
    }
    for (family, figure) in [(&PROCESS_MEMORY, resident_bytes), (&PROCESS_FDS, open_fds), (&PROCESS_MAX_FDS, max_fds)] {
        if let Some(figure) = figure {
            page.single(family, *figure);
        }
    }
    page.single(&PROCESS_START, seconds(*started_unix_ms));
}

#[cfg(test)]
mod tests;
