use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// One database: its file, and the steps that lead from each version of its schema to the next.
pub(super) struct Schema {
    pub(super) file_name: &'static str,
    steps: &'static [&'static str],
}

/// Synced at each commit: an acknowledged event or audit record survives a power cut.
pub(super) const RECORD: Schema = Schema {
    file_name: "controller.db",
    steps: &[
        "
CREATE TABLE nodes (
    name TEXT PRIMARY KEY, labels TEXT NOT NULL, enrolled_ms INTEGER NOT NULL, state TEXT NOT NULL,
    state_ms INTEGER NOT NULL, heard_ms INTEGER, agent_version TEXT NOT NULL, facts BLOB, last_run BLOB
) STRICT;
CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, created_ms INTEGER NOT NULL, revoked_ms INTEGER
) STRICT;
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, key_hash BLOB NOT NULL, pem TEXT NOT NULL,
    issued_ms INTEGER NOT NULL, not_after_s INTEGER NOT NULL, revoked_ms INTEGER
) STRICT;
CREATE INDEX certificates_by_subject ON certificates (kind, name);
CREATE TABLE tokens (
    id TEXT PRIMARY KEY, secret_hash BLOB NOT NULL, purpose TEXT NOT NULL, name TEXT NOT NULL, role TEXT,
    labels TEXT NOT NULL, created_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, uses_left INTEGER NOT NULL,
    failures INTEGER NOT NULL
) STRICT;
CREATE TABLE token_uses (
    token_id TEXT NOT NULL, key_hash BLOB NOT NULL, serial TEXT NOT NULL, PRIMARY KEY (token_id, key_hash)
) STRICT;
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
    severity TEXT NOT NULL, message TEXT NOT NULL, happened_ms INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
    UNIQUE (node, id)
) STRICT;
CREATE TABLE commands (
    id TEXT PRIMARY KEY, node TEXT NOT NULL, operation TEXT NOT NULL, requested_by TEXT NOT NULL,
    reason TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, state TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX commands_by_node ON commands (node, state);
CREATE TABLE audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT, wall_ms INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
",
        "
CREATE TABLE outages (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, cause TEXT NOT NULL, begun_ms INTEGER NOT NULL, ended_ms INTEGER
) STRICT;
CREATE TABLE outage_events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, outage INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL, node TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL
) STRICT;
CREATE INDEX outage_events_by_outage ON outage_events (outage, position);
",
        "
CREATE TABLE backup_jobs (node TEXT PRIMARY KEY, told BLOB NOT NULL) STRICT;
CREATE TABLE backup_runs (
    position INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, run_id TEXT NOT NULL, job TEXT NOT NULL,
    action TEXT NOT NULL, outcome INTEGER NOT NULL, ended_ms INTEGER NOT NULL, run BLOB NOT NULL, UNIQUE (node, run_id)
) STRICT;
CREATE INDEX backup_runs_by_job ON backup_runs (node, job, position);
CREATE INDEX backup_runs_by_id ON backup_runs (run_id);
CREATE TABLE backup_archives (
    node TEXT NOT NULL, job TEXT NOT NULL, listed_ms INTEGER NOT NULL, archives BLOB NOT NULL, PRIMARY KEY (node, job)
) STRICT;
CREATE TABLE backup_troubles (
    node TEXT NOT NULL, job TEXT NOT NULL, trouble TEXT NOT NULL, PRIMARY KEY (node, job, trouble)
) STRICT;
CREATE TABLE backup_given (
    node TEXT NOT NULL, job TEXT NOT NULL, revision INTEGER NOT NULL, toml TEXT NOT NULL, PRIMARY KEY (node, job)
) STRICT;
CREATE TABLE backup_given_revisions (node TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
",
        "
CREATE TABLE alerts (key TEXT PRIMARY KEY, alert TEXT NOT NULL) STRICT;
CREATE TABLE alert_silences (id INTEGER PRIMARY KEY, silence TEXT NOT NULL) STRICT;
CREATE TABLE alert_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, resolved INTEGER NOT NULL,
    urgent INTEGER NOT NULL, created_ms INTEGER NOT NULL, batch TEXT NOT NULL, kind TEXT NOT NULL, alert TEXT NOT NULL
) STRICT;
CREATE INDEX alert_outbox_by_channel ON alert_outbox (channel, position);
CREATE TABLE alert_history (
    position INTEGER PRIMARY KEY AUTOINCREMENT, wall_ms INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL,
    severity TEXT NOT NULL, who TEXT NOT NULL, message TEXT NOT NULL
) STRICT;
CREATE TABLE alert_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
",
    ],
};

/// Figures of the past. May be lost without harm.
pub(super) const HISTORY: Schema = Schema {
    file_name: "history.db",
    steps: &[
        "
CREATE TABLE minutes (
    node TEXT NOT NULL, minute INTEGER NOT NULL, cpu REAL, memory REAL, temperature REAL, load REAL, disk REAL,
    PRIMARY KEY (node, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX minutes_by_age ON minutes (minute);
",
        // Figures in whole tenths (load: hundredths), and by how much the least was below and the greatest above: small
        // numbers take the least room.
        "
CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE rolled_up (level INTEGER PRIMARY KEY, slot INTEGER NOT NULL) STRICT;
CREATE TABLE by_minute (
    node INTEGER NOT NULL, slot INTEGER NOT NULL, minutes INTEGER NOT NULL,
    cpu INTEGER, cpu_below INTEGER, cpu_above INTEGER, memory INTEGER, memory_below INTEGER, memory_above INTEGER,
    temperature INTEGER, temperature_below INTEGER, temperature_above INTEGER,
    load INTEGER, load_below INTEGER, load_above INTEGER, disk INTEGER, disk_below INTEGER, disk_above INTEGER,
    PRIMARY KEY (node, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE by_ten_minutes (
    node INTEGER NOT NULL, slot INTEGER NOT NULL, minutes INTEGER NOT NULL,
    cpu INTEGER, cpu_below INTEGER, cpu_above INTEGER, memory INTEGER, memory_below INTEGER, memory_above INTEGER,
    temperature INTEGER, temperature_below INTEGER, temperature_above INTEGER,
    load INTEGER, load_below INTEGER, load_above INTEGER, disk INTEGER, disk_below INTEGER, disk_above INTEGER,
    PRIMARY KEY (node, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE by_two_hours (
    node INTEGER NOT NULL, slot INTEGER NOT NULL, minutes INTEGER NOT NULL,
    cpu INTEGER, cpu_below INTEGER, cpu_above INTEGER, memory INTEGER, memory_below INTEGER, memory_above INTEGER,
    temperature INTEGER, temperature_below INTEGER, temperature_above INTEGER,
    load INTEGER, load_below INTEGER, load_above INTEGER, disk INTEGER, disk_below INTEGER, disk_above INTEGER,
    PRIMARY KEY (node, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO nodes (name) SELECT DISTINCT node FROM minutes;
INSERT INTO by_minute
    SELECT nodes.id, minute, 1, CAST(round(cpu * 10) AS INTEGER), 0, 0, CAST(round(memory * 10) AS INTEGER), 0, 0,
        CAST(round(temperature * 10) AS INTEGER), 0, 0, CAST(round(load * 100) AS INTEGER), 0, 0,
        CAST(round(disk * 10) AS INTEGER), 0, 0
    FROM minutes JOIN nodes ON nodes.name = minutes.node;
DROP TABLE minutes;
",
    ],
};

/// Opens, checks and migrates a database.
pub(super) fn open(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    restrict(path)?;
    let connection = Connection::open(path).map_err(StoreError::sqlite("opening the store"))?;
    // What fails its check stays as it was found, the log beside it too.
    keep_log_on_close(&connection, true)?;
    check(&connection, path)?;
    keep_log_on_close(&connection, false)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -1024;",
        )
        .map_err(StoreError::sqlite("setting up the store"))?;
    migrate(&connection, path, schema)?;
    Ok(connection)
}

/// Sees to it that the file is there, for its owner only.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop).map_err(|error| {
        StoreError::Sqlite {
            operation: "opening the store",
            source: rusqlite::Error::InvalidPath(format!("{}: {error}", path.display()).into()),
        }
    })
}

fn keep_log_on_close(connection: &Connection, keep: bool) -> Result<(), StoreError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    set.map(drop).map_err(StoreError::sqlite("setting up the store"))
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(error.to_string()))?;
    if verdict == "ok" { Ok(()) } else { Err(damaged(verdict)) }
}

fn migrate(connection: &Connection, path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let version = connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
        .map_err(StoreError::sqlite("reading the store's version"))?;
    let version = version as usize;
    if version > schema.steps.len() {
        return Err(StoreError::BadRow {
            what: "version",
            reason: format!(
                "{} is of version {version}, newer than this program's {}",
                path.display(),
                schema.steps.len()
            ),
        });
    }
    for (step, sql) in schema.steps.iter().enumerate().skip(version) {
        connection
            .execute_batch(&format!("BEGIN; {sql} PRAGMA user_version = {}; COMMIT;", step + 1))
            .map_err(StoreError::sqlite("migrating the store"))?;
    }
    Ok(())
}

/// Copies a database that is in use, whole, to `NAME.copy`.
pub(super) fn copy(path: &Path) -> Result<(), StoreError> {
    let target = path.with_extension("db.copy");
    let fresh = path.with_extension("db.copy.new");
    let refused = |error: std::io::Error| StoreError::Sqlite {
        operation: "copying the store",
        source: rusqlite::Error::InvalidPath(format!("{}: {error}", target.display()).into()),
    };
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let source = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(StoreError::sqlite("copying the store"))?;
    restrict(&fresh)?;
    source.execute("VACUUM INTO ?1", [fresh.to_string_lossy()]).map_err(StoreError::sqlite("copying the store"))?;
    std::fs::File::open(&fresh).and_then(|file| file.sync_all()).map_err(refused)?;
    std::fs::rename(&fresh, &target).map_err(refused)
}
