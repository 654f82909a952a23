//! How each step is performed. A step may be dropped at any moment, and then leaves no child of its own behind; what
//! hangs in the kernel hangs in a thread of its own.

mod backups;
mod blocking;
mod hooks;
mod k3s;
mod power_off;
mod sync;
mod unmount;

use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::{StepKind, StepOutcome};

pub use backups::RunningBackups;
pub(super) use hooks::{HookGate, News};
pub(super) use k3s::K3s;
pub use unmount::unmount_all;

use super::event::StepJob;
use crate::config::{K3sConfig, ShutdownConfig};
use crate::host::PowerSwitch;
use crate::host::linux::Place;

/// What the steps need of the node.
pub struct Setup {
    /// The `[shutdown]` table.
    pub shutdown: ShutdownConfig,
    /// The `[k3s]` table.
    pub k3s: K3sConfig,
    /// What switches the machine off.
    pub power: Arc<dyn PowerSwitch>,
    /// Backups that may be running.
    pub backups: Arc<dyn RunningBackups>,
    /// Where hooks and commands of the admin's run, and mounts are let go.
    pub place: Place,
}

/// How a step ended, and why where it did not go well.
pub(super) type Ended = (StepOutcome, String);

/// Performs one step.
pub(super) async fn perform(job: StepJob, setup: Arc<Setup>, gate: HookGate) -> Ended {
    let limit = Duration::from_millis(job.limit_ms);
    match job.kind {
        StepKind::StopK3s => K3s::new(&setup.k3s, setup.place).stop(limit, job.drill).await,
        StepKind::StopBackups => backups::stop(&*setup.backups, job.drill).await,
        StepKind::Hooks => hooks::run(&job, &setup.shutdown, setup.place, gate).await,
        StepKind::Unmount => unmount::run(job.drill, setup.shutdown.unmount_types.clone(), setup.place, limit).await,
        StepKind::Sync => sync::run().await,
        StepKind::PowerOff => power_off::run(&*setup.power).await,
        // Asked of the controller by the core, which gives no job for it.
        StepKind::Drain => (StepOutcome::Skipped, String::new()),
    }
}
