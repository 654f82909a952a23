//! The chain of the audit log: each record's hash covers the one before it, so that a changed or missing one shows.

use rackhaven_pki::{hex, sha256};

use crate::store::{AuditEntry, AuditRow};

/// The hash of `entry` after a record whose hash is `before` (empty for the first): SHA-256 over all fields, each with
/// its length in front, so that no two different records look alike.
pub fn chain_hash(before: &str, entry: &AuditEntry) -> String {
    let mut bytes = Vec::with_capacity(256);
    let wall = entry.wall_ms.to_string();
    for field in [before, &wall, &entry.who, &entry.origin, &entry.action, &entry.target, &entry.outcome] {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    hex(&sha256(&bytes))
}

/// The position of the first record that does not fit the one before it. `rows` are the newest; the first of them is
/// taken as it is when it is the very first of the log, or when there are `keep` of them, so that older ones are pruned.
pub fn first_break(rows: &[AuditRow], keep: usize) -> Option<u64> {
    let mut before: Option<&AuditRow> = None;
    for row in rows {
        let fits = match before {
            None if row.position == 1 => row.hash == chain_hash("", &row.entry),
            None => rows.len() >= keep,
            Some(before) => row.position == before.position + 1 && row.hash == chain_hash(&before.hash, &row.entry),
        };
        if !fits {
            return Some(row.position);
        }
        before = Some(row);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{AuditEntry, AuditRow, chain_hash, first_break};

    fn log(length: u64) -> Vec<AuditRow> {
        let mut hash = String::new();
        (1..=length)
            .map(|position| {
                let entry = AuditEntry {
                    wall_ms: i64::try_from(position).unwrap(),
                    who: "user/ann".to_owned(),
                    origin: "10.0.0.1:5".to_owned(),
                    action: "Fleet/RemoveNode".to_owned(),
                    target: format!("pi-{position}"),
                    outcome: "ok".to_owned(),
                };
                hash = chain_hash(&hash, &entry);
                AuditRow { position, entry, hash: hash.clone() }
            })
            .collect()
    }

    #[test]
    fn a_whole_or_pruned_log_has_no_break() {
        assert_eq!(first_break(&log(5), 9), None);
        assert_eq!(first_break(&log(5)[2..], 3), None);
        assert_eq!(first_break(&[], 9), None);
    }

    #[test]
    fn a_changed_missing_or_moved_record_is_found() {
        let mut changed = log(5);
        changed[2].entry.outcome = "denied".to_owned();
        assert_eq!(first_break(&changed, 9), Some(3));
        let mut missing = log(5);
        missing.remove(2);
        assert_eq!(first_break(&missing, 9), Some(4));
        assert_eq!(first_break(&log(5)[2..], 4), Some(3), "nothing was pruned yet");
        let mut moved = log(5);
        // The same bytes in another field.
        moved[3].entry.who = "user/an".to_owned();
        moved[3].entry.origin = "n10.0.0.1:5".to_owned();
        assert_eq!(first_break(&moved, 9), Some(4));
    }
}
