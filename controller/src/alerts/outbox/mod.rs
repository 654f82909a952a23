//! What waits to be told: on the disk, one queue a channel, in order. Each channel has a task of its own, so that a dead
//! receiver holds up nobody else.

mod compose;
mod courier;
mod plan;

pub use compose::test_notification;
pub(super) use compose::word;

use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::Severity;
use tokio::task::JoinSet;

use super::channel::Channel;
use super::config::AlertsConfig;
use crate::core::Core;

/// How often it is looked whether the channels were set anew.
const LOOK: Duration = Duration::from_secs(1);

/// Hands over what waits, until the controller ends.
pub async fn deliver(core: Arc<Core>) {
    let mut known: Option<AlertsConfig> = None;
    let mut couriers = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let config = core.config.load_full();
        let same = known
            .as_ref()
            .is_some_and(|known| known.channels == config.alerts.channels && known.deadman == config.alerts.deadman);
        if same {
            continue;
        }
        couriers.shutdown().await;
        forget_others(&core, &config.alerts.channels).await;
        for channel in &config.alerts.channels {
            couriers.spawn(courier::run(Arc::clone(&core), channel.clone()));
        }
        if let Some(deadman) = config.alerts.deadman.clone() {
            couriers.spawn(deadman.keep(core.alerts.health()));
        }
        known = Some(config.alerts.clone());
    }
}

async fn forget_others(core: &Core, channels: &[Channel]) {
    let names: Vec<String> = channels.iter().map(|channel| channel.name().to_owned()).collect();
    core.alerts.only_channels(&names);
    match core.store.outbox_only_for(names).await {
        Ok(0) => {}
        Ok(gone) => {
            let message = format!("{gone} messages waited for channels that are no more, and were dropped");
            core.events.observe(&core.clock, None, "alert.dropped", Severity::Warning, message).await;
        }
        Err(error) => tracing::error!(%error, "what waits for channels that are no more could not be dropped"),
    }
}
