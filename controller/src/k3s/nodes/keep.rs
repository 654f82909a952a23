//! Keeps what is known of the cluster's nodes up to date: listed once, then watched, listed again when the watch ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::NodeFacts;
use crate::core::Core;
use crate::k3s::api::{ApiError, Cluster, Event, Place, Select};

/// How often it is looked whether there is a cluster now, or another one, and whether its API answers: a watch over a
/// connection that has died says nothing.
const LOOK: Duration = Duration::from_secs(5);
/// For so long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often pods are counted when nobody looks, in looks.
const COUNT_EVERY: u32 = 12;
/// Between two tries to reach an API: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Most nodes that are kept, and most pods that are counted, in pages.
const MOST_NODES: usize = 1000;
const POD_PAGES: usize = 40;
const PODS_A_PAGE: u32 = 250;

/// Runs until the controller ends.
pub async fn keep(core: Arc<Core>) {
    let nodes = &core.k3s_nodes;
    let mut wait = BACK_OFF.0;
    loop {
        let failure = match core.k3s.cluster() {
            Ok(None) => {
                if nodes.look(|known| known.configured) {
                    nodes.change(|known| *known = super::Known::default());
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Ok(Some(cluster)) => {
                let before = nodes.look(|known| known.heard_ms);
                let ended = follow(&core, &cluster).await.err().map(|error| error.to_string());
                if nodes.look(|known| known.heard_ms) != before {
                    wait = BACK_OFF.0;
                }
                ended
            }
            Err(error) => Some(error.to_string()),
        };
        let Some(why) = failure else { continue };
        if nodes.look(|known| known.silent_since_ms.is_none()) {
            tracing::warn!(why, "K3s's API does not tell of its nodes");
        }
        nodes.silent(why, core.clock.monotonic_ms());
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}

/// Follows one cluster until its watch ends, or there is another one.
async fn follow(core: &Core, cluster: &Arc<Cluster>) -> Result<(), ApiError> {
    let nodes = &core.k3s_nodes;
    let list = within("listing nodes", cluster.nodes()).await?;
    let fresh: BTreeMap<String, NodeFacts> =
        list.nodes.iter().take(MOST_NODES).map(NodeFacts::new).map(|node| (node.name.clone(), node)).collect();
    nodes.change(|known| (known.configured, known.nodes) = (true, fresh));
    nodes.heard(core.clock.monotonic_ms());
    let mut watch = within("watching nodes", cluster.watch_nodes(&list.revision)).await?;
    #[expect(clippy::disallowed_methods, reason = "an interval wants the moment of its first tick")]
    let mut looks = interval_at(Instant::now(), LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = 0_u32;
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Ok(Some(event)) => take(core, event),
                Ok(None) => return Ok(()),
                // What has happened since is in the next list.
                Err(error) if error.is_expired() => return Ok(()),
                Err(error) => return Err(error),
            },
            _ = looks.tick() => {
                if !matches!(core.k3s.cluster(), Ok(Some(now)) if Arc::ptr_eq(&now, cluster)) {
                    return Ok(());
                }
                if looked.is_multiple_of(COUNT_EVERY) {
                    count(core, cluster).await?;
                } else {
                    within("asking whether the API is ready", cluster.check_ready()).await?;
                }
                looked = looked.wrapping_add(1);
                nodes.heard(core.clock.monotonic_ms());
            }
            () = nodes.count_wanted() => {
                count(core, cluster).await?;
                nodes.heard(core.clock.monotonic_ms());
            }
        }
    }
}

async fn count(core: &Core, cluster: &Cluster) -> Result<(), ApiError> {
    let pods = within("counting pods", count_pods(cluster)).await?;
    let now_ms = core.clock.monotonic_ms();
    core.k3s_nodes.change(|known| (known.pods, known.counted_ms) = (Some(pods), Some(now_ms)));
    Ok(())
}

fn take(core: &Core, event: Event) {
    let facts = |value: &Value| serde_json::from_value::<Node>(value.clone()).map(|node| NodeFacts::new(&node));
    let nodes = &core.k3s_nodes;
    match &event {
        Event::Bookmark(_) => {}
        Event::Added(value) | Event::Modified(value) => match facts(value) {
            Ok(node) if nodes.look(|known| known.nodes.len()) < MOST_NODES => nodes.put(node),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a node of K3s's API is not understood"),
        },
        Event::Deleted(value) => {
            let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            nodes.change(|known| drop(known.nodes.remove(&name)));
        }
    }
    nodes.heard(core.clock.monotonic_ms());
}

/// Pods on each node that have not ended.
async fn count_pods(cluster: &Cluster) -> Result<BTreeMap<String, u32>, ApiError> {
    let place = Place { api_version: "v1", plural: "pods", namespace: None };
    let select = Select { fields: "status.phase!=Succeeded,status.phase!=Failed".to_owned(), ..Select::default() };
    let mut counts = BTreeMap::new();
    let mut from: Option<String> = None;
    for _ in 0..POD_PAGES {
        let page = cluster.page(place, &select, PODS_A_PAGE, from.as_deref()).await?;
        for node in page.items.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()) {
            let count: &mut u32 = counts.entry(node.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    Ok(counts)
}

async fn within<T>(what: &str, asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(ApiError::Unreachable {
            what: what.to_owned(),
            tried: vec![format!("no answer within {} s", PATIENCE.as_secs())],
        }),
    }
}
