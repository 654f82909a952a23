use std::collections::HashSet;
use std::sync::Arc;

use rackhaven_proto::v1;
use rackhaven_proto::v1::backup_change::Change;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Answers, store_failed};
use crate::core::Core;

/// Changes that wait for one watcher.
const QUEUE_LENGTH: usize = 64;

/// What is under way, then each change; until these runs have ended, or (none) without an end.
pub(super) async fn watch(core: &Arc<Core>, run_ids: Vec<String>) -> Result<Answers<v1::BackupChange>, Status> {
    // Followed before it is read, so that nothing falls between.
    let feed = core.backups.follow();
    let mut wanted = (!run_ids.is_empty()).then(|| run_ids.into_iter().collect::<HashSet<_>>());
    let first = now(core, &mut wanted).await?;
    if let Some(unknown) = wanted.iter().flatten().find(|run_id| core.backups.whose(run_id).is_none()) {
        return Err(Status::not_found(format!("there is no run {unknown}")));
    }
    let (answers, stream) = mpsc::channel(QUEUE_LENGTH);
    let watcher = Watcher { core: Arc::clone(core), wanted, answers };
    tokio::spawn(watcher.run(first, feed));
    Ok(Box::pin(ReceiverStream::new(stream)))
}

/// How the wanted runs are now; those that have ended are not wanted any more.
async fn now(core: &Core, wanted: &mut Option<HashSet<String>>) -> Result<Vec<v1::BackupChange>, Status> {
    let mut changes = core.backups.running();
    let Some(wanted) = wanted else { return Ok(changes) };
    changes.retain(|change| run_id(change).is_some_and(|id| wanted.contains(id)));
    let ids = wanted.iter().cloned().collect();
    for row in core.store.backup_runs_by_id(ids).await.map_err(store_failed)? {
        // A node can tell the end of its own runs only.
        let is_its_own = core.backups.whose(&row.run.run_id).is_none_or(|node| node == row.node);
        if is_its_own && wanted.remove(&row.run.run_id) {
            changes.retain(|change| run_id(change) != Some(&row.run.run_id));
            changes.push(v1::BackupChange { node: row.node.to_string(), change: Some(Change::Ended(row.run)) });
        }
    }
    Ok(changes)
}

fn run_id(change: &v1::BackupChange) -> Option<&str> {
    match change.change.as_ref()? {
        Change::Progress(progress) => Some(&progress.run_id),
        Change::Ended(run) => Some(&run.run_id),
    }
}

/// One who watches.
struct Watcher {
    core: Arc<Core>,
    /// Runs that have not ended yet; none for all that there are.
    wanted: Option<HashSet<String>>,
    answers: mpsc::Sender<Result<v1::BackupChange, Status>>,
}

impl Watcher {
    async fn run(mut self, mut changes: Vec<v1::BackupChange>, mut feed: Receiver<Arc<v1::BackupChange>>) {
        loop {
            for change in changes.drain(..) {
                if self.answers.send(Ok(change)).await.is_err() {
                    return;
                }
            }
            if self.wanted.as_ref().is_some_and(HashSet::is_empty) {
                return;
            }
            let next = tokio::select! {
                next = feed.recv() => next,
                () = self.answers.closed() => return,
            };
            match next {
                Ok(change) => changes.extend(self.take(&change)),
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => match now(&self.core, &mut self.wanted).await {
                    Ok(fresh) => {
                        changes = fresh;
                        // What neither ended nor is expected any more was given up.
                        let core = &self.core;
                        self.wanted.iter_mut().for_each(|ids| ids.retain(|id| core.backups.whose(id).is_some()));
                    }
                    Err(status) => return drop(self.answers.send(Err(status)).await),
                },
            }
        }
    }

    /// The change, if it is wanted.
    fn take(&mut self, change: &v1::BackupChange) -> Option<v1::BackupChange> {
        let id = run_id(change)?;
        if let Some(wanted) = &mut self.wanted {
            if !wanted.contains(id) || self.core.backups.whose(id).is_some_and(|node| node.as_str() != change.node) {
                return None;
            }
            if matches!(change.change, Some(Change::Ended(_))) {
                wanted.remove(id);
            }
        }
        Some(change.clone())
    }
}
