//! One row of one level, in and out.

use rusqlite::{Connection, Row, ToSql, params};

use super::{Level, Stretch};
use crate::history::{FIGURES, Spread};
use crate::store::StoreError;

/// In the order of [`Stretch::figures`].
const COLUMNS: &str = "slot, minutes, cpu, cpu_below, cpu_above, memory, memory_below, memory_above, temperature, \
                       temperature_below, temperature_above, load, load_below, load_above, disk, disk_below, disk_above";

/// The table of a level.
pub(super) const fn table(level: Level) -> &'static str {
    match level {
        Level::Minute => "by_minute",
        Level::TenMinutes => "by_ten_minutes",
        Level::TwoHours => "by_two_hours",
    }
}

/// The number of a node, if it is known.
pub(super) fn node_id(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM nodes WHERE name = ?1")
        .map_err(StoreError::sqlite("reading history"))?;
    let mut rows = statement.query([name]).map_err(StoreError::sqlite("reading history"))?;
    rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()).map_err(StoreError::sqlite("reading history"))
}

/// A node's rows of one level with `from` ≤ slot ≤ `to`, oldest first.
pub(super) fn range(
    connection: &Connection,
    level: Level,
    node: i64,
    (from, to): (i64, i64),
) -> Result<Vec<Stretch>, StoreError> {
    let table = table(level);
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {table} WHERE node = ?1 AND slot BETWEEN ?2 AND ?3 ORDER BY slot"
        ))
        .and_then(|mut statement| statement.query_map([node, from, to], stretch)?.collect())
        .map_err(StoreError::sqlite("reading history"))
}

fn stretch(row: &Row<'_>) -> rusqlite::Result<Stretch> {
    let mut figures = [None; FIGURES];
    for (number, figure) in figures.iter_mut().enumerate() {
        let column = 2 + 3 * number;
        let Some(mean) = row.get::<_, Option<i64>>(column)? else { continue };
        let (below, above) = (row.get::<_, Option<i64>>(column + 1)?, row.get::<_, Option<i64>>(column + 2)?);
        let low = mean.saturating_sub(below.unwrap_or(0));
        *figure = Some(Spread { mean, low, high: mean.saturating_add(above.unwrap_or(0)) });
    }
    Ok(Stretch { slot: row.get(0)?, minutes: row.get(1)?, figures })
}

/// Writes a row in place of one that was made of as many minutes or fewer. One that was made of more stays: some of the
/// finer rows that it was made of are gone by now.
pub(super) fn put(connection: &Connection, level: Level, node: i64, row: &Stretch) -> Result<(), StoreError> {
    let (slot, minutes) = (row.slot, row.minutes);
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(node), Box::new(slot), Box::new(minutes)];
    for spread in row.figures {
        values.push(Box::new(spread.map(|it| it.mean)));
        values.push(Box::new(spread.map(|it| it.mean.saturating_sub(it.low))));
        values.push(Box::new(spread.map(|it| it.high.saturating_sub(it.mean))));
    }
    let table = table(level);
    let places: String = (2..=values.len()).map(|place| format!(", ?{place}")).collect();
    let refused = StoreError::sqlite("storing history");
    let stored = connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (node, {COLUMNS}) SELECT ?1{places} WHERE NOT EXISTS \
             (SELECT 1 FROM {table} WHERE node = ?1 AND slot = ?2 AND minutes > ?3)"
        ))
        .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values)));
    stored.map(drop).map_err(refused)
}

/// Deletes of a node what is beyond `most` rows of a level: those later than `future` first, which a clock that was wrong
/// has left, then the oldest. So no jump of the clock deletes more than as many rows as were added.
pub(super) fn prune(
    connection: &Connection,
    level: Level,
    node: i64,
    most: u32,
    future: i64,
) -> Result<(), StoreError> {
    let table = table(level);
    let pruned = || -> rusqlite::Result<()> {
        let mut count = connection.prepare_cached(&format!("SELECT COUNT(*) FROM {table} WHERE node = ?1"))?;
        let excess = count.query_row([node], |row| row.get::<_, i64>(0))?.saturating_sub(most.into());
        if excess <= 0 {
            return Ok(());
        }
        let late = connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE node = ?1 AND slot IN \
                 (SELECT slot FROM {table} WHERE node = ?1 AND slot > ?2 ORDER BY slot DESC LIMIT ?3)"
            ))?
            .execute(params![node, future, excess])?;
        connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE node = ?1 AND slot IN \
                 (SELECT slot FROM {table} WHERE node = ?1 ORDER BY slot LIMIT ?2)"
            ))?
            .execute(params![node, excess.saturating_sub_unsigned(late as u64)])
            .map(drop)
    };
    pruned().map_err(StoreError::sqlite("pruning history"))
}
