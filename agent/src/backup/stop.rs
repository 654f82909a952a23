use std::future::Future;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};

use super::driver::ToBackups;
use crate::shutdown::RunningBackups;

/// What a shutdown sees of backups.
pub struct StoppedByShutdown(pub mpsc::Sender<ToBackups>);

impl RunningBackups for StoppedByShutdown {
    fn stop(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send + '_>> {
        Box::pin(async {
            let (done, stopped) = oneshot::channel();
            // They are gone only when the agent ends.
            let _ = self.0.send(ToBackups::GoesDown(done)).await;
            stopped.await.map_err(|_| "backups are not looked after any more".to_owned())
        })
    }
}
