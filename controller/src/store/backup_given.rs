use std::collections::BTreeMap;

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rusqlite::{Row, params};

use super::audit::append;
use super::{AuditEntry, Store, StoreError};

/// A job that the controller gives a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenJob {
    /// Of the set in which it last changed.
    pub revision: u64,
    /// Its text.
    pub toml: String,
}

/// All jobs that the controller gives a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenJobs {
    /// Grows with each change; 0 if none was ever given.
    pub revision: u64,
    /// By name.
    pub jobs: BTreeMap<String, GivenJob>,
}

impl GivenJobs {
    /// As the node is told.
    pub fn to_wire(&self) -> v1::GivenBackupJobs {
        let job = |(name, job): (&String, &GivenJob)| v1::GivenBackupJob { name: name.clone(), toml: job.toml.clone() };
        v1::GivenBackupJobs { revision: self.revision, jobs: self.jobs.iter().map(job).collect() }
    }
}

impl Store {
    /// Replaces the jobs that nodes are given, all together.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn set_given_jobs(
        &self,
        sets: Vec<(NodeName, GivenJobs)>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        self.run(move |connection| {
            audit.iter().try_for_each(|entry| append(connection, entry))?;
            for (node, given) in sets {
                let node = node.as_str();
                let written = connection
                    .execute("DELETE FROM backup_given WHERE node = ?1", [node])
                    .and_then(|_| {
                        connection.execute(
                            "INSERT INTO backup_given_revisions (node, revision) VALUES (?1, ?2) \
                             ON CONFLICT (node) DO UPDATE SET revision = ?2",
                            params![node, given.revision.cast_signed()],
                        )
                    })
                    .and_then(|_| {
                        given.jobs.iter().try_for_each(|(name, job)| {
                            connection
                                .execute(
                                    "INSERT INTO backup_given (node, job, revision, toml) VALUES (?1, ?2, ?3, ?4)",
                                    params![node, name, job.revision.cast_signed(), job.toml],
                                )
                                .map(drop)
                        })
                    });
                written.map_err(StoreError::sqlite("storing given backup jobs"))?;
            }
            Ok(())
        })
        .await
    }

    /// What each node is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn given_jobs(&self) -> Result<BTreeMap<NodeName, GivenJobs>, StoreError> {
        self.run(|connection| {
            let mut sets: BTreeMap<NodeName, GivenJobs> = BTreeMap::new();
            let failed = || StoreError::sqlite("reading given backup jobs");
            let revisions = connection
                .prepare("SELECT node, revision FROM backup_given_revisions")
                .and_then(|mut statement| {
                    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
                    statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(failed())?;
            for (node, revision) in revisions {
                let node = node.parse().map_err(StoreError::bad("backup"))?;
                sets.insert(node, GivenJobs { revision: revision.cast_unsigned(), jobs: BTreeMap::new() });
            }
            let jobs = connection
                .prepare("SELECT node, job, revision, toml FROM backup_given")
                .and_then(|mut statement| {
                    let read = |row: &Row<'_>| {
                        let job = GivenJob { revision: row.get::<_, i64>(2)?.cast_unsigned(), toml: row.get(3)? };
                        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, job))
                    };
                    statement.query_map([], read)?.collect::<Result<Vec<_>, _>>()
                })
                .map_err(failed())?;
            for (node, name, job) in jobs {
                let node = node.parse().map_err(StoreError::bad("backup"))?;
                sets.entry(node).or_default().jobs.insert(name, job);
            }
            Ok(sets)
        })
        .await
    }
}
