use std::future::Future;
use std::pin::Pin;

use rackhaven_proto::model::StepOutcome;

use super::Ended;

/// Backups of this node, as far as a shutdown is concerned.
pub trait RunningBackups: Send + Sync {
    /// Stops those that run, so that they leave nothing half done, and says what was stopped; none if none ran. May be
    /// dropped when its time is over.
    fn stop(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send + '_>>;
}

pub(super) async fn stop(backups: &dyn RunningBackups, drill: bool) -> Ended {
    if drill {
        // A backup that is stopped is lost; a rehearsal is not worth that.
        return (StepOutcome::Skipped, "this is a drill".to_owned());
    }
    match backups.stop().await {
        Ok(Some(what)) => (StepOutcome::Done, what),
        Ok(None) => (StepOutcome::Skipped, "none is running".to_owned()),
        Err(why) => (StepOutcome::Failed, why),
    }
}
