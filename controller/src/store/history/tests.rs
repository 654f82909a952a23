use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::rows::{range, table};
use super::{Level, MinuteRow, Plan, Stretch, Window, read, schema, write};
use crate::config::HistoryConfig;
use crate::history::{FIGURES, Keep, Spread};

/// 2026-11-21 20:00:00 UTC.
const NOW_S: i64 = 1_795_291_200;
const MINUTE_S: i64 = 60;
const YEAR_S: i64 = 365 * 24 * 3600;

fn keep() -> Keep {
    Keep::new(&HistoryConfig {
        enabled: true,
        recent_points: 0,
        minutes_keep_hours: 3,
        ten_minutes_keep_days: 1,
        two_hours_keep_days: 2,
    })
}

struct Desk {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = Self::open(folder.path());
        Self { folder, connection }
    }

    fn open(folder: &std::path::Path) -> Connection {
        let connection = schema::open(&folder.join("history.db"), &schema::HISTORY).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        connection
    }

    fn restart(&mut self) {
        self.connection = Self::open(self.folder.path());
    }

    fn store(&self, rows: &[MinuteRow], now_s: i64) {
        self.connection.execute_batch("BEGIN").unwrap();
        write::store(&self.connection, rows, now_s, &keep()).unwrap();
        self.connection.execute_batch("COMMIT").unwrap();
    }

    fn rows(&self, level: Level, node: i64) -> Vec<Stretch> {
        range(&self.connection, level, node, (i64::MIN, i64::MAX)).unwrap()
    }

    fn count(&self, level: Level) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {}", table(level));
        self.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    fn seen(&self, node: &str, since_s: i64, until_s: i64, level: Level) -> Vec<(Level, Stretch)> {
        let plan = Plan { level, step_s: level.seconds() };
        read::past(&self.connection, node, Window { since_s, until_s }, plan).unwrap().rows
    }
}

fn row(node: &str, minute_s: i64, cpu: i64) -> MinuteRow {
    let mut figures = [None; FIGURES];
    figures[0] = Some(Spread { mean: cpu, low: cpu / 2, high: cpu * 2 });
    figures[3] = Some(Spread { mean: 7, low: 7, high: 7 });
    MinuteRow { node: node.parse().unwrap(), stretch: Stretch { slot: minute_s.div_euclid(60), minutes: 1, figures } }
}

/// Lets minutes pass, each stored when it is over.
fn pass(desk: &Desk, now_s: &mut i64, minutes: i64, cpu: i64) {
    for _ in 0..minutes {
        let begun = *now_s;
        *now_s += MINUTE_S;
        desk.store(&[row("pi-1", begun, cpu), row("pi-2", begun, cpu + 1)], *now_s);
    }
}

#[test]
fn a_spike_survives_in_every_level() {
    let desk = Desk::new();
    let mut now_s = NOW_S;
    pass(&desk, &mut now_s, 65, 100);
    pass(&desk, &mut now_s, 1, 990);
    pass(&desk, &mut now_s, 180, 100);
    for (level, mean) in [(Level::TenMinutes, 189), (Level::TwoHours, 107)] {
        let spiked: Vec<_> =
            desk.rows(level, 1).into_iter().filter(|row| row.figures[0].unwrap().high == 1980).collect();
        assert_eq!(spiked.len(), 1, "{level:?}");
        assert_eq!(spiked[0].figures[0].unwrap().mean, mean, "{level:?}");
    }
}

#[test]
fn what_is_not_rolled_up_yet_is_read_from_finer_rows() {
    let desk = Desk::new();
    let mut now_s = NOW_S;
    pass(&desk, &mut now_s, 3 * 60 + 25, 100);
    let seen = desk.seen("pi-1", NOW_S, now_s, Level::TwoHours);
    let levels: BTreeMap<_, _> = seen.iter().fold(BTreeMap::new(), |mut counts, (level, _)| {
        *counts.entry(*level).or_insert(0) += 1;
        counts
    });
    assert_eq!(levels, [(Level::TwoHours, 1), (Level::TenMinutes, 8), (Level::Minute, 5)].into());
    assert_eq!(seen.iter().map(|(_, row)| row.minutes).sum::<u32>(), 205);
    let begin_s = |(level, row): &(Level, Stretch)| row.slot * level.seconds();
    assert!(seen.is_sorted_by(|one, other| begin_s(one) < begin_s(other)));
    assert_eq!(desk.seen("pi-9", NOW_S, now_s, Level::TwoHours), []);
    // A window of the past that is rolled up whole.
    assert_eq!(desk.seen("pi-1", NOW_S, NOW_S + 3600, Level::TwoHours).len(), 1);
    assert_eq!(desk.seen("pi-1", NOW_S, NOW_S + 3599, Level::TenMinutes).len(), 6);
}

#[test]
fn a_row_that_comes_late_is_taken_in() {
    let desk = Desk::new();
    let mut now_s = NOW_S;
    pass(&desk, &mut now_s, 30, 100);
    now_s += 150 * MINUTE_S;
    pass(&desk, &mut now_s, 1, 100);
    assert_eq!(desk.rows(Level::TwoHours, 1)[0].minutes, 30);
    desk.store(&[row("pi-1", NOW_S + 45 * MINUTE_S, 400)], now_s);
    assert_eq!(desk.rows(Level::TwoHours, 1)[0].minutes, 31);
    assert_eq!(desk.rows(Level::TwoHours, 1)[0].figures[0].unwrap().high, 800);
    assert_eq!(desk.rows(Level::TwoHours, 2)[0].minutes, 30);
}

#[test]
fn a_row_stays_whose_minutes_are_gone() {
    let desk = Desk::new();
    let mut now_s = NOW_S;
    pass(&desk, &mut now_s, 400, 100);
    let before = desk.rows(Level::TenMinutes, 1)[0];
    assert_eq!(before.minutes, 10);
    assert!(desk.rows(Level::Minute, 1)[0].slot > before.slot * 10 + 9, "its minutes are not gone yet");
    desk.store(&[row("pi-1", NOW_S + 3 * MINUTE_S, 400)], now_s);
    assert_eq!(desk.rows(Level::TenMinutes, 1)[0], before);
}

#[test]
fn a_clock_of_another_year_deletes_nothing_at_once() {
    for jump_s in [14 * YEAR_S, -14 * YEAR_S, 3 * 3600, -3 * 3600] {
        let mut desk = Desk::new();
        let mut now_s = NOW_S;
        pass(&desk, &mut now_s, 400, 100);
        let before: Vec<_> = Level::ALL.iter().map(|level| desk.rows(*level, 1)).collect();
        now_s += jump_s;
        pass(&desk, &mut now_s, 30, 200);
        desk.restart();
        now_s -= jump_s;
        pass(&desk, &mut now_s, 30, 100);
        for (level, before) in Level::ALL.into_iter().zip(before) {
            let after = desk.rows(level, 1);
            let gone = before.iter().filter(|row| !after.iter().any(|it| it.slot == row.slot)).count();
            assert!(gone <= 70, "{level:?} after {jump_s} s: {gone} of {} are gone", before.len());
            assert!(after.len() <= keep().rows(level) as usize + 12, "{level:?} after {jump_s} s");
        }
        // As long again as there is room for: the rows of the wrong time are gone, the right ones there.
        pass(&desk, &mut now_s, 3 * 60, 100);
        let minutes = desk.rows(Level::Minute, 1);
        let newest = Level::Minute.slot(now_s) - 1;
        let right = (newest - 170..=newest).filter(|slot| minutes.iter().any(|row| row.slot == *slot)).count();
        assert_eq!(right, 171, "after {jump_s} s");
    }
}

#[test]
fn a_removed_node_is_forgotten() {
    let desk = Desk::new();
    let mut now_s = NOW_S;
    pass(&desk, &mut now_s, 150, 100);
    write::forget(&desk.connection, |name| name == "pi-1").unwrap();
    for level in Level::ALL {
        assert_eq!(desk.count(level), desk.rows(level, 2).len() as i64, "{level:?}");
        assert!(desk.count(level) > 0);
    }
    assert_eq!(desk.seen("pi-1", 0, now_s, Level::TwoHours), []);
    // Its name may come back, with nothing of the one before.
    pass(&desk, &mut now_s, 1, 100);
    assert_eq!(desk.seen("pi-1", 0, now_s, Level::Minute).len(), 1);
}

#[test]
fn the_history_of_an_older_version_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join("history.db")).unwrap();
    old.execute_batch(
        "CREATE TABLE minutes (
            node TEXT NOT NULL, minute INTEGER NOT NULL, cpu REAL, memory REAL, temperature REAL, load REAL, disk REAL,
            PRIMARY KEY (node, minute)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX minutes_by_age ON minutes (minute);
        PRAGMA user_version = 1;",
    )
    .unwrap();
    for minute in 0..150_i64 {
        let values = (NOW_S / 60 + minute, if minute == 77 { 99.94 } else { 10.06 });
        old.execute("INSERT INTO minutes VALUES ('pi-1', ?1, ?2, 50.0, NULL, 1.256, 33.3)", values).unwrap();
    }
    old.execute("INSERT INTO minutes VALUES ('pi-2', ?1, 1.0, 2.0, 3.0, 4.0, 5.0)", [NOW_S / 60]).unwrap();
    old.close().unwrap();
    let connection = Desk::open(folder.path());
    let desk = Desk { folder, connection };
    let now_s = NOW_S + 150 * MINUTE_S;
    assert_eq!((desk.rows(Level::Minute, 1).len(), desk.rows(Level::Minute, 2).len()), (150, 1));
    let seen = desk.seen("pi-1", NOW_S, now_s, Level::TwoHours);
    assert_eq!(seen.len(), 150, "nothing is rolled up yet, and all can be seen");
    let spread = |mean| Some(Spread { mean, low: mean, high: mean });
    assert_eq!(seen[0].1.figures, [spread(101), spread(500), None, spread(126), spread(333)]);
    desk.store(&[], now_s);
    assert_eq!(desk.rows(Level::TwoHours, 1).len(), 1);
    assert_eq!(desk.rows(Level::TwoHours, 1)[0].figures[0].unwrap().high, 999);
    assert_eq!(desk.rows(Level::TenMinutes, 1).len(), 15);
}

/// What may happen between two minutes.
#[derive(Debug, Clone)]
enum Happening {
    /// So many minutes pass in which the first node was heard in these.
    Minutes(Vec<bool>),
    /// Nothing is heard of anybody.
    Silence(i64),
    /// The last minute is stored once more.
    Again,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => prop::collection::vec(prop::bool::weighted(0.9), 1..90).prop_map(Happening::Minutes),
        1 => (1_i64..400).prop_map(Happening::Silence),
        1 => Just(Happening::Again),
        1 => Just(Happening::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rollups_hold_all_minutes_within_their_bounds(happenings in prop::collection::vec(happening(), 1..16)) {
        let mut desk = Desk::new();
        let mut now_s = NOW_S;
        let mut all: BTreeMap<i64, Stretch> = BTreeMap::new();
        let mut last = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Minutes(heard) => for heard in heard {
                    last.clear();
                    if heard {
                        last.push(row("pi-1", now_s, now_s.div_euclid(60).rem_euclid(997)));
                    }
                    last.push(row("pi-2", now_s, 5));
                    all.extend(last.iter().filter(|row| row.node.as_str() == "pi-1").map(|row| (row.stretch.slot, row.stretch)));
                    now_s += MINUTE_S;
                    desk.store(&last, now_s);
                },
                Happening::Silence(minutes) => now_s += minutes * MINUTE_S,
                Happening::Again => desk.store(&last, now_s),
                Happening::Restart => desk.restart(),
            }
        }
        let node = desk.connection.query_row("SELECT id FROM nodes WHERE name = 'pi-1'", [], |row| row.get(0)).unwrap_or(0);
        for level in Level::ALL {
            let rows = desk.rows(level, node);
            let coarser = match level { Level::Minute => 10, _ => 12 };
            prop_assert!(rows.len() <= keep().rows(level) as usize + coarser, "{level:?}: {} rows", rows.len());
            for row in &rows {
                let of = row.slot * level.seconds() / 60..(row.slot + 1) * level.seconds() / 60;
                let minutes: Vec<_> = all.range(of).map(|(_, minute)| *minute).collect();
                let expected = Stretch::of(row.slot, &minutes).unwrap();
                prop_assert_eq!(row.minutes, expected.minutes, "{:?} {}", level, row.slot);
                for (one, other) in row.figures.iter().zip(expected.figures) {
                    let (Some(one), Some(other)) = (one, other) else { continue };
                    prop_assert!((one.mean - other.mean).abs() <= 1);
                    prop_assert_eq!((one.low, one.high), (other.low, other.high));
                }
            }
        }
        // All that is over and within the bounds is there, whatever rows it is read from.
        let since_s = now_s - 20 * 3600;
        let seen = desk.seen("pi-1", since_s, now_s, Level::TenMinutes);
        let expected = all.range(Level::TenMinutes.slot(since_s) * 10..).count();
        prop_assert_eq!(seen.iter().map(|(_, row)| row.minutes as usize).sum::<usize>(), expected);
    }
}
