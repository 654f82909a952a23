use prost::Message;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::{Store, StoreError};

/// So many runs are kept of each job.
const KEEP_OF_JOB: i64 = 500;
/// So many are kept of each node, whatever jobs it names.
const KEEP_OF_NODE: i64 = 3000;
/// Of so many jobs of a node the archives are kept, those of past jobs too.
const KEEP_LISTS: i64 = 128;

/// A run that has ended, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupRunRow {
    /// The node.
    pub node: NodeName,
    /// The run as the node told it.
    pub run: v1::BackupRun,
}

/// The archives of a job as they were last listed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobArchives {
    /// The node.
    pub node: NodeName,
    /// The job.
    pub job: String,
    /// The archives.
    pub archives: Vec<v1::BackupArchive>,
}

/// Which nodes and jobs are asked for; none means all.
#[derive(Debug, Clone, Default)]
pub struct BackupFilter {
    /// Names of nodes.
    pub nodes: Vec<String>,
    /// Names of jobs.
    pub jobs: Vec<String>,
}

impl BackupFilter {
    /// A condition for `WHERE`, and what its places stand for.
    fn condition(&self) -> (String, Vec<&str>) {
        let mut parts = vec!["1".to_owned()];
        for (column, names) in [("node", &self.nodes), ("job", &self.jobs)] {
            if !names.is_empty() {
                parts.push(format!("{column} IN (?{})", ", ?".repeat(names.len() - 1)));
            }
        }
        (parts.join(" AND "), self.nodes.iter().chain(&self.jobs).map(String::as_str).collect())
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|error| StoreError::BadRow { what: "backup", reason: error.to_string() })
}

fn runs(
    connection: &Connection,
    rest: &str,
    values: impl IntoIterator<Item = impl rusqlite::ToSql>,
) -> Result<Vec<BackupRunRow>, StoreError> {
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?));
    let rows = connection
        .prepare(&format!("SELECT node, run FROM backup_runs {rest}"))
        .and_then(|mut statement| statement.query_map(params_from_iter(values), read)?.collect::<Result<Vec<_>, _>>())
        .map_err(StoreError::sqlite("reading runs of backups"))?;
    let row = |(node, bytes): (String, Vec<u8>)| {
        Ok(BackupRunRow { node: node.parse().map_err(StoreError::bad("backup"))?, run: decode(&bytes)? })
    };
    rows.into_iter().map(row).collect()
}

/// Stores a run; false if it was stored before.
fn insert_run(connection: &Connection, node: &str, run: &v1::BackupRun) -> Result<bool, StoreError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO backup_runs (node, run_id, job, action, outcome, ended_ms, run) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (node, run_id) DO NOTHING",
        )
        .and_then(|mut statement| {
            let values =
                params![node, run.run_id, run.job, run.action, run.outcome, run.ended_unix_ms, run.encode_to_vec()];
            statement.execute(values)
        })
        .map_err(StoreError::sqlite("storing a run of a backup"))?;
    if inserted == 0 {
        return Ok(false);
    }
    let bounds = connection
        .execute(
            "DELETE FROM backup_runs WHERE node = ?1 AND job = ?2 AND position <= (SELECT position FROM backup_runs \
             WHERE node = ?1 AND job = ?2 ORDER BY position DESC LIMIT 1 OFFSET ?3)",
            params![node, run.job, KEEP_OF_JOB],
        )
        .and_then(|_| {
            connection.execute(
                "DELETE FROM backup_runs WHERE node = ?1 AND position <= (SELECT position FROM backup_runs \
                 WHERE node = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)",
                params![node, KEEP_OF_NODE],
            )
        });
    bounds.map(|_| true).map_err(StoreError::sqlite("forgetting old runs of backups"))
}

/// Replaces the list of a job's archives, unless a later one is there.
fn replace_archives(
    connection: &Connection,
    node: &str,
    job: &str,
    listed_ms: i64,
    archives: &v1::BackupArchives,
) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO backup_archives (node, job, listed_ms, archives) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (node, job) DO UPDATE SET listed_ms = ?3, archives = ?4 WHERE listed_ms <= ?3",
            params![node, job, listed_ms, archives.encode_to_vec()],
        )
        .and_then(|_| {
            connection.execute(
                "DELETE FROM backup_archives WHERE node = ?1 AND job NOT IN (SELECT job FROM backup_archives \
                 WHERE node = ?1 ORDER BY listed_ms DESC LIMIT ?2)",
                params![node, KEEP_LISTS],
            )
        })
        .map(drop)
        .map_err(StoreError::sqlite("storing a list of archives"))
}

impl Store {
    /// Stores what a node reports of a run, and the archives that it lists; false if it was stored before. `now_ms` is
    /// the controller's wall clock: no list counts as later than this, whatever the node's clock says.
    ///
    /// # Errors
    /// [`StoreError`]; the node must then keep it.
    pub async fn store_backup_report(
        &self,
        node: NodeName,
        run: v1::BackupRun,
        archives: Option<v1::BackupArchives>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        self.run(move |connection| {
            let new = insert_run(connection, node.as_str(), &run)?;
            if let Some(archives) = archives.filter(|_| new) {
                let listed_ms = run.ended_unix_ms.min(now_ms);
                replace_archives(connection, node.as_str(), &run.job, listed_ms, &archives)?;
            }
            Ok(new)
        })
        .await
    }

    /// Keeps what a node tells of its jobs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store_backup_jobs(&self, node: NodeName, told: v1::BackupJobs) -> Result<(), StoreError> {
        self.run(move |connection| {
            connection
                .execute(
                    "INSERT INTO backup_jobs (node, told) VALUES (?1, ?2) ON CONFLICT (node) DO UPDATE SET told = ?2",
                    params![node.as_str(), told.encode_to_vec()],
                )
                .map(drop)
                .map_err(StoreError::sqlite("storing a node's backup jobs"))
        })
        .await
    }

    /// What each node last told of its jobs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_jobs(&self) -> Result<Vec<(NodeName, v1::BackupJobs)>, StoreError> {
        self.run(|connection| {
            let rows = connection
                .prepare("SELECT node, told FROM backup_jobs")
                .and_then(|mut statement| {
                    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?));
                    statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(StoreError::sqlite("reading backup jobs"))?;
            let row = |(node, told): (String, Vec<u8>)| {
                Ok((node.parse().map_err(StoreError::bad("backup"))?, decode(&told)?))
            };
            rows.into_iter().map(row).collect()
        })
        .await
    }

    /// Of each node, job and action the newest run that was begun, and of each job the newest save that went well;
    /// oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_runs_that_count(&self) -> Result<Vec<BackupRunRow>, StoreError> {
        let [ok, warn, stopped, refused] =
            [v1::BackupOutcome::Ok, v1::BackupOutcome::Warn, v1::BackupOutcome::Stopped, v1::BackupOutcome::Refused]
                .map(|outcome| i32::from(outcome).to_string());
        self.run(move |connection| {
            let rest = format!(
                "WHERE position IN (SELECT max(position) FROM backup_runs WHERE outcome NOT IN ({stopped}, {refused}) \
                 GROUP BY node, job, action) OR position IN (SELECT max(position) FROM backup_runs \
                 WHERE action = 'save' AND outcome IN ({ok}, {warn}) GROUP BY node, job) ORDER BY position"
            );
            runs(connection, &rest, [] as [&str; 0])
        })
        .await
    }

    /// The newest runs first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_runs(&self, filter: BackupFilter, limit: u32) -> Result<Vec<BackupRunRow>, StoreError> {
        self.run(move |connection| {
            let (condition, values) = filter.condition();
            runs(connection, &format!("WHERE {condition} ORDER BY position DESC LIMIT {limit}"), values)
        })
        .await
    }

    /// The runs with these ids, as far as they have ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_runs_by_id(&self, ids: Vec<String>) -> Result<Vec<BackupRunRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.run(move |connection| {
            runs(connection, &format!("WHERE run_id IN (?{}) ORDER BY position", ", ?".repeat(ids.len() - 1)), &ids)
        })
        .await
    }

    /// The archives of jobs, by node and job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_archives(&self, filter: BackupFilter) -> Result<Vec<JobArchives>, StoreError> {
        self.run(move |connection| {
            let (condition, values) = filter.condition();
            let sql = format!("SELECT node, job, archives FROM backup_archives WHERE {condition} ORDER BY node, job");
            let rows = connection
                .prepare(&sql)
                .and_then(|mut statement| {
                    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?));
                    statement.query_map(params_from_iter(values), read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(StoreError::sqlite("reading archives"))?;
            let row = |(node, job, bytes): (String, String, Vec<u8>)| {
                let archives = decode::<v1::BackupArchives>(&bytes)?.archives;
                Ok(JobArchives { node: node.parse().map_err(StoreError::bad("backup"))?, job, archives })
            };
            rows.into_iter().map(row).collect()
        })
        .await
    }

    /// Notes that a trouble of a job stands, or (`stands` false) that it does not any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_backup_trouble(
        &self,
        node: NodeName,
        job: String,
        trouble: &'static str,
        stands: bool,
    ) -> Result<(), StoreError> {
        self.run(move |connection| {
            let sql = if stands {
                "INSERT OR IGNORE INTO backup_troubles (node, job, trouble) VALUES (?1, ?2, ?3)"
            } else {
                "DELETE FROM backup_troubles WHERE node = ?1 AND job = ?2 AND trouble = ?3"
            };
            connection
                .execute(sql, params![node.as_str(), job, trouble])
                .map(drop)
                .map_err(StoreError::sqlite("storing a trouble of backups"))
        })
        .await
    }

    /// The troubles that stand: node, job, word.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup_troubles(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        self.run(|connection| {
            connection
                .prepare("SELECT node, job, trouble FROM backup_troubles")
                .and_then(|mut statement| {
                    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
                })
                .map_err(StoreError::sqlite("reading troubles of backups"))
        })
        .await
    }
}
