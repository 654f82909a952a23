use rusqlite::Connection;

use super::rows::{node_id, range, table};
use super::write::rolled_up_to;
use super::{Level, NodePast, Plan, Stretch, Window};
use crate::store::StoreError;

pub(super) fn minutes(connection: &Connection, node: &str, from_minute: i64) -> Result<Vec<Stretch>, StoreError> {
    match node_id(connection, node)? {
        Some(node) => range(connection, Level::Minute, node, (from_minute, i64::MAX)),
        None => Ok(Vec::new()),
    }
}

pub(super) fn past(connection: &Connection, node: &str, window: Window, plan: Plan) -> Result<NodePast, StoreError> {
    let Some(node) = node_id(connection, node)? else { return Ok(NodePast { rows: Vec::new(), first_s: None }) };
    let mut rows = Vec::new();
    let mut from_s = window.since_s;
    // What is not rolled up yet is at the end, and finer there.
    let levels = Level::ALL.into_iter().rev().skip_while(|level| *level != plan.level);
    for level in levels {
        let (from, last) = (level.slot(from_s), level.slot(window.until_s));
        let over = match level.finer() {
            None => i64::MAX,
            Some(_) => rolled_up_to(connection, level)?.unwrap_or(i64::MIN),
        };
        let found = range(connection, level, node, (from, last.min(over.saturating_sub(1))))?;
        rows.extend(found.into_iter().map(|row| (level, row)));
        if over > last {
            break;
        }
        from_s = from_s.max(over.saturating_mul(level.seconds()));
    }
    Ok(NodePast { rows, first_s: first_s(connection, node)? })
}

/// When the oldest figures begin, as exactly as there still are finer rows for the first coarse one.
fn first_s(connection: &Connection, node: i64) -> Result<Option<i64>, StoreError> {
    let mut first: Option<(i64, Level)> = None;
    for level in Level::ALL.into_iter().rev() {
        let begin = connection
            .prepare_cached(&format!("SELECT MIN(slot) FROM {} WHERE node = ?1", table(level)))
            .and_then(|mut statement| statement.query_row([node], |row| row.get::<_, Option<i64>>(0)))
            .map_err(StoreError::sqlite("reading history"))?
            .map(|slot| slot.saturating_mul(level.seconds()));
        let finer = |begin: &i64| first.is_none_or(|(first, coarse)| *begin < first.saturating_add(coarse.seconds()));
        if let Some(begin) = begin.filter(finer) {
            first = Some((begin, level));
        }
    }
    Ok(first.map(|(first, _)| first))
}
