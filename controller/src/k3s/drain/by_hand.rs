//! Drains that somebody waits for: `ctl k3s drain`, and the sequences that take a node out of service.

use std::sync::Arc;

use futures_util::future::join_all;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_ended::Result as EndedAs;
use rackhaven_proto::v1::k3s_step::State;

use super::words::pods_are;
use super::{Drain, Ended, Rules, drive, left_in_words, refused_in_words};
use crate::core::Core;
use crate::k3s::api::Cluster;
use crate::k3s::cordon::{By, Done, cordon};
use crate::k3s::step;

/// For so long an API is waited for that says nothing, milliseconds.
const SILENCE_MS: u64 = 30_000;

/// How nodes are to be drained.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// For whom.
    pub by: By,
    /// For each node, milliseconds.
    pub timeout_ms: u64,
    /// Pods go that nothing would start again.
    pub force: bool,
    /// Pods go that lose data.
    pub delete_emptydir_data: bool,
    /// What pods are given to end, seconds; none for their own time.
    pub grace_s: Option<u32>,
}

/// Which nodes are to be drained.
pub struct Asked {
    /// The controller.
    pub core: Arc<Core>,
    /// Their cluster.
    pub cluster: Arc<Cluster>,
    /// What it calls them.
    pub names: Vec<String>,
    /// How.
    pub wanted: Wanted,
}

/// How one node's drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emptied {
    /// So many pods have gone.
    Done(u32),
    /// Why it is not drained. It stays cordoned.
    Failed(String),
}

/// Cordons all, then drains them at the same time. `tell` hears how far it is.
pub async fn drain_by_hand(asked: Asked, tell: &(dyn Fn(v1::K3sProgress) + Sync)) -> Vec<v1::K3sEnded> {
    let Asked { core, cluster, names, wanted } = asked;
    let mut cordoned = Vec::new();
    for name in names {
        let done = cordon(&cluster, &name, &wanted.by, core.clock.wall_ms()).await;
        let (state, text) = match &done {
            Ok(Done::Changed) => (State::Done, String::new()),
            Ok(Done::Unchanged | Done::Others) => (State::Unchanged, String::new()),
            Ok(Done::Absent) => (State::Failed, "it is not there any more".to_owned()),
            Err(error) => (State::Failed, error.to_string()),
        };
        tell(step(&name, "cordon", state, &text));
        cordoned.push((name, (state == State::Failed).then_some(text)));
    }
    let drains = cordoned.into_iter().map(async |(name, failure)| {
        let emptied = match failure {
            Some(failure) => Emptied::Failed(failure),
            None => empty(&core, &cluster, &name, &wanted, tell).await,
        };
        let (result, state, text) = match emptied {
            Emptied::Done(0) => (EndedAs::Done, State::Unchanged, "no pods had to go".to_owned()),
            Emptied::Done(count) => (EndedAs::Done, State::Done, format!("{count} pods have gone")),
            Emptied::Failed(why) => (EndedAs::Failed, State::Failed, why),
        };
        tell(step(&name, EVICT, state, &text));
        v1::K3sEnded { node: name, result: result.into(), text }
    });
    join_all(drains).await
}

const EVICT: &str = "evict";

/// Evicts the pods of a node that is cordoned. `told` hears how far it is, each time that it has got on.
pub async fn empty(
    core: &Core,
    cluster: &Cluster,
    name: &str,
    wanted: &Wanted,
    mut told: impl FnMut(v1::K3sProgress),
) -> Emptied {
    let begun_ms = core.clock.monotonic_ms();
    let rules = Rules {
        deadline_ms: begun_ms.saturating_add(wanted.timeout_ms),
        silence_ms: SILENCE_MS,
        bare: wanted.force,
        emptydir: wanted.delete_emptydir_data,
        grace_s: wanted.grace_s,
    };
    let mut last = None;
    let heard = |drain: &Drain| {
        let now = (drain.far(), drain.held_up());
        if last.as_ref() != Some(&now) {
            let ((done_count, total_count), held_up) = &now;
            let mut progress = step(name, EVICT, State::Running, held_up);
            progress.step.iter_mut().for_each(|step| (step.done_count, step.total_count) = (*done_count, *total_count));
            told(progress);
            last = Some(now);
        }
    };
    let ended = drive(cluster, name, rules, &core.clock, heard).await;
    let now_ms = core.clock.monotonic_ms();
    match ended {
        Ended::Drained(count) => Emptied::Done(count),
        Ended::Late(left) => {
            let count = left.len();
            let seconds = now_ms.saturating_sub(begun_ms) / 1000;
            let left = left_in_words(&left, now_ms);
            Emptied::Failed(format!("after {seconds} s {count} {} left: {left}", pods_are(count)))
        }
        Ended::Kept(refusals) => Emptied::Failed(format!("nothing was evicted: {}", refused_in_words(&refusals))),
        Ended::Silent(why, left) => {
            let count = left.len();
            Emptied::Failed(format!("K3s's API is silent, {count} {} left: {why}", pods_are(count)))
        }
    }
}
