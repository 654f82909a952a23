use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{hex, sha256};
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{Event, NodeName, Severity};

use super::{Finding, Settlement, Trouble};
use crate::core::Core;

/// How often all jobs are judged: time alone makes a backup late.
const ROUND: Duration = Duration::from_secs(5);

/// Judges all jobs again and again.
pub async fn keep_watch(core: Arc<Core>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        core.backups.expire(core.clock.monotonic_ms(), core.clock.wall_ms());
        settle(&core, None).await;
    }
}

/// Judges the jobs of a node, or all, and tells what has begun to be wrong and what is well again.
pub async fn settle(core: &Core, only: Option<&NodeName>) {
    for settlement in core.backups.judge(only, core.clock.monotonic_ms(), core.clock.wall_ms()) {
        let Settlement { node, job, begun, resolved, well } = settlement;
        for finding in begun {
            begin(core, &node, &job, &finding).await;
        }
        for trouble in &resolved {
            keep(core, &node, &job, *trouble, false).await;
        }
        if well && !resolved.is_empty() {
            let words: Vec<_> = resolved.iter().map(|trouble| trouble.as_str()).collect();
            let message = format!("the backup {job} of {node} is well again; it was {}", words.join(", "));
            core.events.observe(&core.clock, Some(&node), "backup.ok-again", Severity::Info, message).await;
        }
    }
}

async fn begin(core: &Core, node: &NodeName, job: &str, finding: &Finding) {
    let trouble = finding.trouble;
    let message = format!("the backup {job} of {node} {}", finding.message);
    tracing::warn!(%node, job, %trouble, "{message}");
    let told = match event(job, finding, message, core.clock.wall_ms()) {
        Ok(event) => core.events.record(node, event, &core.clock).await.map_err(|error| error.to_string()),
        Err(invalid) => Err(invalid.to_string()),
    };
    match told {
        Ok(()) => keep(core, node, job, trouble, true).await,
        Err(error) => {
            tracing::error!(%node, job, error, "a trouble of backups could not be told");
            core.backups.not_told(node, job, trouble);
        }
    }
}

async fn keep(core: &Core, node: &NodeName, job: &str, trouble: Trouble, stands: bool) {
    let kept = core.store.set_backup_trouble(node.clone(), job.to_owned(), trouble.as_str(), stands).await;
    if let Err(error) = kept {
        tracing::error!(%error, %node, job, "a trouble of backups could not be stored");
    }
}

/// The event of a trouble. The same evidence makes the same event, so that a controller that is killed between event
/// and note does not tell it twice.
fn event(job: &str, finding: &Finding, message: String, wall_ms: i64) -> Result<Event, Invalid> {
    let key = hex(&sha256(format!("{job} {} {}", finding.trouble, finding.evidence).as_bytes()));
    Ok(Event {
        id: format!("backup-{}", key.get(..32).unwrap_or_default()).parse()?,
        kind: format!("backup.{}", finding.trouble),
        severity: finding.trouble.severity(),
        message: message.chars().filter(|c| !c.is_control()).take(Event::MAX_MESSAGE_BYTES / 4).collect(),
        wall_unix_ms: wall_ms,
        age_ms: None,
    })
}
