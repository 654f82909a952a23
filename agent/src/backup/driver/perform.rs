//! Does what was decided.

use std::time::Duration;

use rackhaven_proto::model::backup::BackupRunId;

use super::Backups;
use crate::backup::core::{Action, Run};
use crate::backup::report::Ended;
use crate::host::linux::Place;

/// How often it is looked whether a child that was asked to end has ended, and how many times: some longer than it is
/// let before it is killed.
const CHILD_LOOK: Duration = Duration::from_millis(50);
const MAX_CHILD_LOOKS: u32 = 60;

impl Backups {
    pub(super) async fn perform(&mut self, action: Action) {
        match action {
            Action::Begin(run) => self.begin(run).await,
            Action::End(id) => self.end(id).await,
            Action::Refuse(run, outcome, why) => drop(self.settle(&run, Ended::Without { outcome, why })),
        }
    }

    async fn end(&mut self, id: BackupRunId) {
        self.ending = Some(id.clone());
        match (self.place, self.child.take()) {
            (Place::Unit, _) => {
                if let Err(why) = self.paths.end_unit(&id).await {
                    tracing::error!(%id, why, "a backup could not be ended");
                }
            }
            (Place::Here, Some(child)) => {
                // It is asked to end, and puts away what it has begun.
                child.abort();
                let (ended, result) = (self.ended.0.clone(), self.paths.result_file(&id));
                tokio::spawn(async move {
                    let mut looks = 0;
                    while looks < MAX_CHILD_LOOKS && !result.exists() {
                        tokio::time::sleep(CHILD_LOOK).await;
                        looks += 1;
                    }
                    // The receiver lives as long as the driver.
                    drop(ended.send((id, None)).await);
                });
            }
            (Place::Here, None) => {}
        }
    }

    async fn begin(&mut self, run: Run) {
        tracing::info!(id = %run.id, job = %run.job, action = run.action.as_str(), trigger = run.trigger.as_str(), "a backup begins");
        let Some(job) = self.jobs.get(&run.job).cloned() else {
            return self.over(&run.id, Some("the job has gone".to_owned())).await;
        };
        self.begun_ms = self.clock.monotonic_ms();
        let made = [&self.paths.runs, &self.paths.status].into_iter().try_for_each(std::fs::create_dir_all);
        if let Err(error) = made {
            let why = format!("making {}: {error}", self.paths.runs.display());
            return self.over(&run.id, Some(why)).await;
        }
        let (paths, ended) = (self.paths.clone(), self.ended.0.clone());
        let place = self.place;
        let task = tokio::spawn(async move {
            let begun = match place {
                Place::Unit => paths.begin_unit(&run, &job).await,
                Place::Here => paths.run_child(&run, &job).await,
            };
            match (place, begun) {
                (Place::Unit, Ok(())) => {}
                // The receiver lives as long as the driver.
                (_, begun) => drop(ended.send((run.id, begun.err())).await),
            }
        });
        self.child = Some(task.abort_handle());
    }
}
