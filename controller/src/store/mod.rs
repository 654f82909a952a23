//! The only place that knows SQL. One thread owns each database; callers send it jobs and await their results.
//!
//! Jobs that wait together share one transaction, so that a thousand agents reconnecting cost a few commits. A job's
//! result is handed out only after its commit: what a caller was told is on the disk.

mod alert_outbox;
mod alerts;
mod audit;
mod backup_given;
mod backups;
mod certificates;
mod commands;
mod events;
mod history;
mod nodes;
mod outages;
mod schema;
mod tokens;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use alert_outbox::{NewOutboxRow, OutboxRow};
pub use alerts::{AlertCommit, AlertTurn};
pub use audit::{AuditEntry, AuditRow};
pub use backup_given::{GivenJob, GivenJobs};
pub use backups::{BackupFilter, BackupRunRow, JobArchives};
pub use certificates::CertificateRow;
pub use commands::{CommandRow, CommandState};
pub use events::{EventFilter, EventRow};
pub use history::{History, NodePast};
pub use nodes::NodeRow;
pub use outages::{OutageRecord, OutageRow, TimelineRow};
pub(crate) use tokens::Enrolment;
pub use tokens::{TokenPurpose, TokenRow};
pub use users::UserRow;

/// Most jobs that wait; more callers wait to hand theirs in.
const QUEUE_LENGTH: usize = 1024;
/// Most jobs of one transaction.
const BATCH_LENGTH: usize = 256;

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused: disk full, read-only, damaged.
    #[error("{operation}: {source}")]
    Sqlite {
        /// What was tried.
        operation: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The transaction was not written, and is undone.
    #[error("committing: {0}")]
    NotCommitted(Arc<str>),
    /// A row holds what this version cannot have written.
    #[error("the store holds a bad {what}: {reason}")]
    BadRow {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The database failed its check when it was opened.
    #[error("{} failed its check: {reason}", path.display())]
    Damaged {
        /// Which database.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// The store's thread has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    fn sqlite(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { operation, source }
    }

    fn bad(what: &'static str) -> impl FnOnce(rackhaven_proto::Invalid) -> Self {
        move |invalid| Self::BadRow { what, reason: invalid.to_string() }
    }
}

/// What a job left to be told after its commit.
type Reply = Box<dyn FnOnce(&Result<(), Arc<str>>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;

/// A handle to one database's thread; cheap to clone.
#[derive(Clone)]
pub struct Database {
    jobs: mpsc::Sender<Job>,
}

impl Database {
    /// Starts the thread that owns `connection`. It ends when the last handle is dropped.
    fn start(connection: Connection, name: &'static str) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&connection, queue))
            .map_err(|error| StoreError::BadRow { what: "thread", reason: error.to_string() })?;
        Ok(Self { jobs })
    }

    /// Runs `job` inside a transaction; an error undoes what it did.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_then(job, |_| ()).await
    }

    /// The same; `then` is called with the result once it is committed, in the order of the jobs.
    async fn run_then<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let boxed: Job = Box::new(move |connection| {
            let outcome = in_savepoint(connection, job);
            Box::new(move |committed| {
                let committed = committed.clone().map_err(StoreError::NotCommitted);
                let outcome = outcome.and_then(|value| committed.map(|()| value));
                if let Ok(value) = &outcome {
                    then(value);
                }
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            })
        });
        self.jobs.send(boxed).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT job").map_err(StoreError::sqlite("beginning"))?;
    let outcome = job(connection);
    let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end).map_err(StoreError::sqlite("ending")).and(outcome)
}

fn run(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut replies = vec![first(connection)];
        while replies.len() < BATCH_LENGTH {
            let Ok(next) = queue.try_recv() else { break };
            replies.push(next(connection));
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT")).map_err(|error| {
            tracing::error!(%error, "the store could not commit; is the disk full or read-only?");
            let _ = connection.execute_batch("ROLLBACK");
            Arc::from(error.to_string())
        });
        for reply in replies {
            reply(&committed);
        }
    }
}

/// The controller's record: nodes, users, certificates, invitations, commands, events, audit.
#[derive(Clone)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens the record in `folder`, checks it and brings it to this version's schema; makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when SQLite's check fails, [`StoreError::Sqlite`] when it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(schema::RECORD.file_name);
        let connection = schema::open(&path, &schema::RECORD)?;
        Ok(Self { database: Database::start(connection, "store")?, path })
    }

    /// The same where there must be a record already. SQLite takes a file that is empty or gone for a new database, and
    /// a controller without a record would turn all nodes and users away.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(schema::RECORD.file_name);
        let reason = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() == 0 => "it is empty",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "it is not there",
            _ => return Self::open(folder),
        };
        Err(StoreError::Damaged { path, reason: reason.to_owned() })
    }

    /// Where the record is, and where its last good copy.
    pub fn paths(folder: &Path) -> (PathBuf, PathBuf) {
        let path = folder.join(schema::RECORD.file_name);
        let copy = folder.join(format!("{}.copy", schema::RECORD.file_name));
        (path, copy)
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The databases in its folder and their sizes with what was not merged into them yet, bytes.
    pub fn sizes(&self) -> Vec<(&'static str, u64)> {
        let size = |file: &str| std::fs::metadata(self.folder().join(file)).map(|metadata| metadata.len());
        let named = [("record", schema::RECORD.file_name), ("history", schema::HISTORY.file_name)];
        let sized =
            named.map(|(name, file)| Some((name, size(file).ok()? + size(&format!("{file}-wal")).unwrap_or(0))));
        sized.into_iter().flatten().collect()
    }

    /// Writes a whole copy beside the record, from which a damaged one is restored.
    ///
    /// # Errors
    /// When SQLite or the file system refuses; an older copy is then kept.
    pub async fn copy(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || schema::copy(&path)).await.map_err(|_| StoreError::Closed)?
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database.run(job).await
    }
}
