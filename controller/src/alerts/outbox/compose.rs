//! From what waits to what a channel is given. Pure.

use std::collections::BTreeMap;

use rackhaven_proto::model::Severity;

use crate::alerts::channel::{Item, ItemState, Notification};
use crate::alerts::core::NoticeKind;
use crate::store::NewOutboxRow;

/// A notice's kind as it is stored.
pub(in crate::alerts) fn word(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Firing => "firing",
        NoticeKind::Repeated => "repeated",
        NoticeKind::Resolved => "resolved",
    }
}

/// What is told of one row.
pub(super) fn item(row: &NewOutboxRow) -> Item {
    let alert = &row.alert;
    let state = match row.kind.as_str() {
        "resolved" => ItemState::Resolved,
        "repeated" => ItemState::Repeated,
        _ => ItemState::Firing,
    };
    let of_node = alert.node.is_some();
    Item {
        key: alert.key.to_string(),
        rule: alert.key.rule.to_string(),
        state,
        severity: alert.severity,
        node: alert.node.clone(),
        instance: if of_node { alert.key.instance.clone() } else { alert.key.subject.clone() },
        summary: alert.text.clone(),
        advice: alert.key.rule.shipped().advice.to_owned(),
        value: alert.value,
        since_unix_ms: alert.since_unix_ms,
        ended_unix_ms: alert.ended_unix_ms.filter(|_| state == ItemState::Resolved),
        labels: alert.labels.clone(),
    }
}

/// Says that nothing is wrong, and that this channel works.
pub fn test_notification(id: String, cluster: &str, who: &str, wall_ms: i64, status_line: String) -> Notification {
    let item = Item {
        key: "test".to_owned(),
        rule: "test".to_owned(),
        state: ItemState::Test,
        severity: Severity::Info,
        node: None,
        instance: String::new(),
        summary: format!("a test that {who} asked for: this channel works"),
        advice: String::new(),
        value: None,
        since_unix_ms: wall_ms,
        ended_unix_ms: None,
        labels: BTreeMap::new(),
    };
    Notification { id, cluster: cluster.to_owned(), items: vec![item], sent_unix_ms: wall_ms, status_line }
}
