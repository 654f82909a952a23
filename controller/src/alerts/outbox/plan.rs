//! What a channel does next. Pure.

use std::collections::HashSet;

use crate::store::OutboxRow;

/// Most alerts in one message.
pub(super) const MOST_ITEMS: usize = 50;
/// How long to wait after the first failure, and at most, milliseconds.
const BACK_OFF_MS: (u64, u64) = (1_000, 900_000);
/// At most while on battery: the receiver may be reached for minutes only.
const BACK_OFF_ON_BATTERY_MS: u64 = 5_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing waits that may go.
    Idle,
    /// Look again after so many milliseconds.
    Wait(u64),
    /// These, by their positions, as one message; with the id that it was tried with before.
    Send(Vec<u64>, Option<String>),
}

/// What of `rows`, oldest first, goes now. `quiet` tells of each whether it is kept back at this hour.
pub(super) fn next(rows: &[OutboxRow], group_ms: u64, wall_ms: i64, quiet: impl Fn(&OutboxRow) -> bool) -> Next {
    // What was tried before is the same message, and first.
    if let Some(tried) = rows.iter().find(|row| !row.batch.is_empty()) {
        let same = rows.iter().filter(|row| row.batch == tried.batch);
        return Next::Send(same.map(|row| row.position).collect(), Some(tried.batch.clone()));
    }
    // Of one alert all goes in its order: what is worse takes along what was kept back.
    let awake: HashSet<_> = rows.iter().filter(|row| !quiet(row)).map(|row| &row.new.alert.key).collect();
    let ready: Vec<&OutboxRow> =
        rows.iter().filter(|row| awake.contains(&row.new.alert.key)).take(MOST_ITEMS).collect();
    let Some(first) = ready.first() else { return Next::Idle };
    let age_ms = u64::try_from(wall_ms.saturating_sub(first.new.created_ms)).ok();
    // A clock that was set back must not hold anything up.
    let gathered = age_ms.is_none_or(|age_ms| age_ms >= group_ms) || ready.len() == MOST_ITEMS;
    if gathered || ready.iter().any(|row| row.new.urgent) {
        return Next::Send(ready.iter().map(|row| row.position).collect(), None);
    }
    Next::Wait(group_ms.saturating_sub(age_ms.unwrap_or(0)).max(1))
}

/// How long to wait after so many failures in a row, milliseconds. `asked_ms`: what the receiver asked for.
pub(super) fn back_off_ms(failures: u32, asked_ms: Option<u64>, on_battery: bool) -> u64 {
    let (first, most) = BACK_OFF_MS;
    let own = first.saturating_mul(1_u64 << failures.saturating_sub(1).min(20)).min(most);
    let own = if on_battery { own.min(BACK_OFF_ON_BATTERY_MS) } else { own };
    asked_ms.map_or(own, |asked| asked.clamp(own.min(first), most))
}

#[cfg(test)]
mod tests {
    use super::{Next, OutboxRow, back_off_ms, next};
    use crate::alerts::core::{Alert, Alerts, Condition, Key, Now, Scan};
    use crate::alerts::rules::{Reached, Rule, Rules};
    use crate::store::NewOutboxRow;

    fn alert(subject: &str) -> Alert {
        let key = Key { rule: Rule::NodeDown, subject: subject.to_owned(), instance: String::new() };
        let reached = Reached::stated(rackhaven_proto::model::Severity::Warning);
        let (text, labels) = (String::new(), std::collections::BTreeMap::new());
        let condition = Condition { key: key.clone(), reached, value: None, text, node: None, labels };
        let scan = Scan { conditions: [(key, condition)].into(), ..Scan::default() };
        Alerts::default().step(scan, &Rules::default(), Now { ms: 0, wall_ms: 0 }).kept.remove(0)
    }

    fn row(position: u64, subject: &str, created_ms: i64, urgent: bool, batch: &str) -> OutboxRow {
        let (kind, channel, batch) = ("firing".to_owned(), "phone".to_owned(), batch.to_owned());
        let alert = alert(subject);
        OutboxRow { position, batch, new: NewOutboxRow { channel, resolved: false, urgent, created_ms, kind, alert } }
    }

    #[test]
    fn golden() {
        let calm = |position, subject, created_ms| row(position, subject, created_ms, false, "");
        let send = |positions: &[u64]| Next::Send(positions.to_vec(), None);
        // Rows, the time, the node that is kept back, what is done; a second to gather.
        for (rows, wall_ms, quiet, expected) in [
            (vec![], 0, "", Next::Idle),
            (vec![calm(1, "a", 0)], 0, "", Next::Wait(1000)),
            (vec![calm(1, "a", 0), calm(2, "b", 900)], 999, "", Next::Wait(1)),
            (vec![calm(1, "a", 0), calm(2, "b", 900)], 1000, "", send(&[1, 2])),
            (vec![calm(1, "a", 0), row(2, "b", 0, true, "")], 0, "", send(&[1, 2])),
            // The clock was set back.
            (vec![calm(1, "a", 5000)], 0, "", send(&[1])),
            (vec![row(1, "a", 0, false, "n-1"), calm(2, "b", 0)], 0, "", Next::Send(vec![1], Some("n-1".to_owned()))),
            (vec![calm(1, "a", 0), row(2, "b", 0, false, "n-1")], 9, "a", Next::Send(vec![2], Some("n-1".to_owned()))),
            (vec![calm(1, "a", 0)], 9000, "a", Next::Idle),
            (vec![calm(1, "a", 0), calm(2, "b", 0)], 9000, "a", send(&[2])),
            // One of the same alert that may go takes along what was kept back before it.
            (vec![calm(1, "a", 0), row(2, "a", 0, true, ""), calm(3, "b", 0)], 9000, "a", send(&[1, 2, 3])),
        ] {
            let kept_back = |row: &OutboxRow| row.new.alert.key.subject == quiet && !row.new.urgent;
            assert_eq!(next(&rows, 1000, wall_ms, kept_back), expected, "{rows:?}");
        }
    }

    #[test]
    fn back_off_golden() {
        for (failures, asked_ms, on_battery, expected) in [
            (1, None, false, 1_000),
            (2, None, false, 2_000),
            (10, None, false, 512_000),
            (11, None, false, 900_000),
            (u32::MAX, None, false, 900_000),
            (10, None, true, 5_000),
            (10, Some(30_000), false, 30_000),
            (1, Some(0), false, 1_000),
            (1, Some(u64::MAX), true, 900_000),
        ] {
            assert_eq!(back_off_ms(failures, asked_ms, on_battery), expected, "{failures} {asked_ms:?} {on_battery}");
        }
    }
}
