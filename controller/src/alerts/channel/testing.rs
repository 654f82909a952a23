//! Notifications for the tests of the forms.

use std::collections::BTreeMap;

use rackhaven_proto::model::Severity;

use super::{Item, ItemState, Notification};

/// 2026-01-02 03:04:05 UTC.
pub(super) const SENT_UNIX_MS: i64 = 1_767_323_045_000;

fn item(node: Option<&str>, rule: &str, severity: Severity, summary: &str, advice: &str) -> Item {
    Item {
        key: format!("{rule}-{}", node.unwrap_or("rack")),
        rule: rule.to_owned(),
        state: ItemState::Firing,
        severity,
        node: node.map(str::to_owned),
        instance: String::new(),
        summary: summary.to_owned(),
        advice: advice.to_owned(),
        value: None,
        since_unix_ms: SENT_UNIX_MS - 60_000,
        ended_unix_ms: None,
        labels: BTreeMap::from([("role".to_owned(), "worker".to_owned())]),
    }
}

fn of(items: Vec<Item>) -> Notification {
    Notification {
        id: "01jx-17".to_owned(),
        cluster: "attic".to_owned(),
        items,
        sent_unix_ms: SENT_UNIX_MS,
        status_line: "DEGRADED: 1 of 6 nodes down".to_owned(),
    }
}

/// A node is down.
pub(super) fn one() -> Notification {
    of(vec![item(
        Some("pi3"),
        "node-down",
        Severity::Critical,
        "node is down",
        "Look at its power and network cable; ctl node show pi3 tells its last words.",
    )])
}

/// A disk has room again.
pub(super) fn resolved() -> Notification {
    let mut disk = item(Some("pi_2"), "disk-full", Severity::Warning, "disk is 85 % full <&>", "Delete something.");
    disk.instance = "/var".to_owned();
    disk.value = Some(85.5);
    disk.state = ItemState::Resolved;
    disk.since_unix_ms = SENT_UNIX_MS - 4_000_000;
    disk.ended_unix_ms = Some(SENT_UNIX_MS);
    of(vec![disk])
}

/// `count` alerts: the UPS on battery, then disks, the last of them repeated.
pub(super) fn notification(count: usize) -> Notification {
    let mut items = vec![item(None, "on-battery", Severity::Warning, "on battery, 12 min left", "Save your work.")];
    for number in 1..count {
        let node = format!("pi{number}");
        items.push(item(Some(&node), "disk-full", Severity::Warning, "disk / is 91 % full", "Delete something."));
    }
    if let Some(last) = items.last_mut() {
        last.state = ItemState::Repeated;
    }
    of(items)
}
