//! Carries a drain out over the API.

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Action, Answer, Drain, Ended, Event, PodFacts, Rules};
use crate::clock::Clock;
use crate::k3s::api::{ApiError, Cluster, Evicted};

/// How often the pods are looked at, milliseconds.
const LIST_EVERY_MS: u64 = 500;

/// Drains a node of the cluster; `told` hears of it after each change.
pub async fn drive(cluster: &Cluster, node: &str, rules: Rules, clock: &Clock, mut told: impl FnMut(&Drain)) -> Ended {
    // An answer that is lost can be asked for again before the API counts as silent.
    let patience = Duration::from_millis(rules.silence_ms / 2);
    let mut drain = Drain::new(rules, clock.monotonic_ms());
    let mut evictions = FuturesUnordered::new();
    let mut list_ms = clock.monotonic_ms();
    let mut listing = None;
    loop {
        let now_ms = clock.monotonic_ms();
        if listing.is_none() && now_ms >= list_ms {
            list_ms = now_ms.saturating_add(LIST_EVERY_MS);
            listing = Some(Box::pin(list(cluster, node, patience)));
        }
        let wakes_ms = drain.wakes_ms(now_ms).min(if listing.is_some() { u64::MAX } else { list_ms });
        let event = tokio::select! {
            event = heard(&mut listing), if listing.is_some() => {
                listing = None;
                event
            }
            Some((uid, answer)) = evictions.next() => Event::Answered(uid, answer),
            () = tokio::time::sleep(Duration::from_millis(wakes_ms.saturating_sub(now_ms))) => Event::Tick,
        };
        for action in drain.step(event, clock.monotonic_ms()) {
            evictions.push(evict(cluster, action, patience));
        }
        told(&drain);
        if let Some(ended) = drain.ended() {
            return ended.clone();
        }
    }
}

/// Waits for the list that is under way.
async fn heard(listing: &mut Option<Pin<Box<impl Future<Output = Event>>>>) -> Event {
    match listing {
        Some(listing) => listing.await,
        None => Event::Tick,
    }
}

async fn list(cluster: &Cluster, node: &str, patience: Duration) -> Event {
    match tokio::time::timeout(patience, cluster.pods_on(node)).await {
        Ok(Ok(pods)) => Event::Listed(pods.iter().map(PodFacts::new).collect()),
        Ok(Err(error)) => Event::Unlisted(error.to_string()),
        Err(_) => Event::Unlisted(silence(patience)),
    }
}

async fn evict(cluster: &Cluster, action: Action, patience: Duration) -> (String, Answer) {
    let Action::Evict { namespace, name, uid, grace_s } = action;
    let asked = cluster.evict(&namespace, &name, Some(&uid), grace_s);
    let answer = match tokio::time::timeout(patience, asked).await {
        Ok(Ok(Evicted::Leaving)) => Answer::Taken,
        Ok(Ok(Evicted::Gone)) => Answer::Gone,
        Ok(Err(error)) => answer(&error),
        Err(_) => Answer::Silent(silence(patience)),
    };
    (uid, answer)
}

fn answer(error: &ApiError) -> Answer {
    match error {
        ApiError::Refused(refused) if error.is_budget() => {
            // The message only says that there is one; which one it is stands in its cause.
            let which = refused.causes.iter().find(|(reason, ..)| reason == "DisruptionBudget");
            Answer::Budget(which.map_or(&refused.message, |(_, message, _)| message).clone())
        }
        ApiError::Refused(refused) => Answer::Refused(refused.message.clone()),
        ApiError::Unreachable { .. } => Answer::Silent(error.to_string()),
        _ => Answer::Refused(error.to_string()),
    }
}

fn silence(patience: Duration) -> String {
    format!("no answer within {:.1} s", patience.as_secs_f64())
}
