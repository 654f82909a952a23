use std::collections::BTreeSet;

use rusqlite::Connection;

use super::rows::{node_id, prune, put, range, table};
use super::{Keep, Level, MinuteRow, Stretch};
use crate::store::StoreError;

/// A row that is later than this was written by a clock that was wrong, or the clock is wrong now, seconds.
const FUTURE_S: i64 = 24 * 3600;

/// A node's number, and a slot of some level.
type Touched = BTreeSet<(i64, i64)>;

pub(super) fn store(connection: &Connection, rows: &[MinuteRow], now_s: i64, keep: &Keep) -> Result<(), StoreError> {
    let mut touched = Touched::new();
    for row in rows {
        let node = number(connection, row.node.as_str())?;
        let slot = row.stretch.slot;
        let before = range(connection, Level::Minute, node, (slot, slot))?;
        let minute = before.first().map_or(row.stretch, |before| before.again(row.stretch));
        put(connection, Level::Minute, node, &minute)?;
        touched.insert((node, slot));
    }
    for level in [Level::TenMinutes, Level::TwoHours] {
        let turned = roll_up(connection, level, &mut touched, now_s)?;
        // Of what is kept little is deleted at a time: when something was put together anyway.
        if let (true, Some(finer)) = (turned, level.finer()) {
            forget_old(connection, finer, now_s, keep)?;
        }
        if turned && level == Level::TwoHours {
            forget_old(connection, level, now_s, keep)?;
        }
    }
    Ok(())
}

/// The number of a node, given to it now if it has none.
fn number(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    if let Some(known) = node_id(connection, name)? {
        return Ok(known);
    }
    connection
        .prepare_cached("INSERT INTO nodes (name) VALUES (?1)")
        .and_then(|mut statement| statement.insert([name]))
        .map_err(StoreError::sqlite("storing history"))
}

/// Makes the rows of a level that are over: for all nodes those since the last time, and those of which a finer row has
/// come late. `touched` holds the finer rows that were written, and then those of this level. Whether time has gone on
/// to another row of it.
fn roll_up(connection: &Connection, level: Level, touched: &mut Touched, now_s: i64) -> Result<bool, StoreError> {
    let current = level.slot(now_s);
    let mark = rolled_up_to(connection, level)?;
    // A clock that was set back: what it said before does not count.
    let begin = mark.unwrap_or(i64::MIN).min(current);
    let ratio = level.ratio();
    let mut written = Touched::new();
    let mut make = |node: i64, (from, end): (i64, i64)| -> Result<(), StoreError> {
        let finer = level.finer().unwrap_or(level);
        let slots = (from.saturating_mul(ratio), end.saturating_mul(ratio).saturating_sub(1));
        let parts = range(connection, finer, node, slots)?;
        let slot = |part: &Stretch| part.slot.div_euclid(ratio);
        for group in parts.chunk_by(|one, other| slot(one) == slot(other)) {
            let Some(whole) = group.first().and_then(|first| Stretch::of(slot(first), group)) else { continue };
            put(connection, level, node, &whole)?;
            written.insert((node, whole.slot));
        }
        Ok(())
    };
    let late: Touched = touched.iter().map(|(node, slot)| (*node, slot.div_euclid(ratio))).collect();
    for (node, slot) in late.into_iter().filter(|(_, slot)| *slot < begin) {
        make(node, (slot, slot.saturating_add(1)))?;
    }
    if begin < current {
        for node in numbers(connection)? {
            make(node, (begin, current))?;
        }
    }
    *touched = written;
    if mark != Some(current) {
        connection
            .prepare_cached("INSERT OR REPLACE INTO rolled_up (level, slot) VALUES (?1, ?2)")
            .and_then(|mut statement| statement.execute([level.seconds(), current]))
            .map_err(StoreError::sqlite("storing history"))?;
    }
    Ok(begin < current)
}

/// The first row of a level that is not made yet.
pub(super) fn rolled_up_to(connection: &Connection, level: Level) -> Result<Option<i64>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT MAX(slot) FROM rolled_up WHERE level = ?1")
        .map_err(StoreError::sqlite("reading history"))?;
    statement.query_row([level.seconds()], |row| row.get(0)).map_err(StoreError::sqlite("reading history"))
}

fn numbers(connection: &Connection) -> Result<Vec<i64>, StoreError> {
    connection
        .prepare_cached("SELECT id FROM nodes ORDER BY id")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(StoreError::sqlite("reading history"))
}

fn forget_old(connection: &Connection, level: Level, now_s: i64, keep: &Keep) -> Result<(), StoreError> {
    let future = level.slot(now_s.saturating_add(FUTURE_S));
    numbers(connection)?.into_iter().try_for_each(|node| prune(connection, level, node, keep.rows(level), future))
}

/// Forgets the nodes of these names.
pub(super) fn forget(connection: &Connection, which: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let forgetting = || -> rusqlite::Result<()> {
        let mut nodes = connection.prepare_cached("SELECT id, name FROM nodes")?;
        let nodes = nodes.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        for (node, _) in nodes.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|(_, name)| which(name)) {
            for level in Level::ALL {
                connection.execute(&format!("DELETE FROM {} WHERE node = ?1", table(level)), [node])?;
            }
            connection.execute("DELETE FROM nodes WHERE id = ?1", [node])?;
        }
        Ok(())
    };
    forgetting().map_err(StoreError::sqlite("forgetting history"))
}
