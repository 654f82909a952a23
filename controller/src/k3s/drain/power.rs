//! Drains for nodes on their way down: beside the driver of power, which never waits for them.
//!
//! All nodes that are told to go at the same time are cordoned before the first of them is drained, so that no pod moves
//! to a node that goes next. A server is said to be drained after the agents that are drained with it: the API may be
//! its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rackhaven_proto::model::{NodeName, OrderId, ShutdownOrder, StepKind, Steps};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::words::pods_are;
use super::{Ended, Rules, drive, left_in_words, refused_in_words};
use crate::core::Core;
use crate::k3s::api::Cluster;
use crate::k3s::cordon::{By, cordon};
use crate::k3s::nodes::cluster_name;

/// For so long an API is waited for that says nothing, milliseconds; and if it has said nothing for a while already.
const SILENCE_MS: (u64, u64) = (5000, 1500);
/// From then on an API that is silent is not hoped for any more, milliseconds.
const LOST_MS: u64 = 4000;
/// What is kept of a step's time for its end to reach the node: a tenth, and no more than this, milliseconds.
const RESERVE_MS: u64 = 1000;
/// The longest failure that a node is told, characters.
const MOST_CHARS: usize = 600;

/// An order's id is its node's own only.
type Key = (NodeName, OrderId);

/// The drains of the outage that goes on.
pub struct PowerDrains {
    core: Arc<Core>,
    orders: Arc<Orders>,
}

#[derive(Debug)]
struct Orders {
    all: Mutex<BTreeMap<Key, Order>>,
    /// Rung when one has got on.
    changes: watch::Sender<u64>,
}

/// One node's order, as far as its drain goes.
#[derive(Debug)]
struct Order {
    timeout_ms: u64,
    /// Whether K3s's API may be its own.
    server: bool,
    /// Its cordon is under way.
    cordoning: bool,
    /// Why it could not be cordoned; empty if it could.
    failure: String,
    drain: Drained,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Drained {
    /// Not asked for yet.
    Not,
    Running,
    /// Why it could not be; empty if it was.
    Over(String),
}

impl Drop for Order {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Order>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Order)) {
        if let Some(order) = self.lock().get_mut(key) {
            change(order);
        }
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Waits until no order is like that any more, until the clock shows `until_ms` at most.
    async fn none(&self, core: &Core, until_ms: u64, is: impl Fn(&Order) -> bool) {
        let mut changes = self.changes.subscribe();
        let quiet = async {
            while self.lock().values().any(&is) {
                // The sender is this one's own.
                let _ = changes.changed().await;
            }
        };
        let left_ms = until_ms.saturating_sub(core.clock.monotonic_ms());
        let _ = tokio::time::timeout(Duration::from_millis(left_ms), quiet).await;
    }
}

impl PowerDrains {
    /// None yet.
    pub fn new(core: Arc<Core>) -> Self {
        let orders = Orders { all: Mutex::default(), changes: watch::Sender::new(0) };
        Self { core, orders: Arc::new(orders) }
    }

    /// A node is told to go in this outage: new pods are kept away from it from now on.
    pub fn goes(&self, node: &NodeName, order: &ShutdownOrder, outage: u64) {
        let key = (node.clone(), order.id.clone());
        let nothing = matches!(self.core.k3s.cluster(), Ok(None));
        if nothing || self.orders.lock().contains_key(&key) {
            return;
        }
        if let Some(timeout_ms) = timeout_ms(&order.steps) {
            self.begin(&key, timeout_ms, outage);
        }
    }

    fn begin(&self, key: &Key, timeout_ms: u64, outage: u64) {
        let server = cluster_name(&self.core, &key.0)
            .is_some_and(|name| self.core.k3s_nodes.look(|known| known.nodes.get(&name).is_some_and(|it| it.server)));
        let order = Order {
            timeout_ms,
            server,
            cordoning: true,
            failure: String::new(),
            drain: Drained::Not,
            tasks: Vec::new(),
        };
        // The task looks for it.
        self.orders.lock().insert(key.clone(), order);
        let (core, orders, of_task) = (Arc::clone(&self.core), Arc::clone(&self.orders), key.clone());
        let task = tokio::spawn(async move {
            let (patience, begun_ms) = (Duration::from_millis(silence_ms(&core)), core.clock.monotonic_ms());
            let cordoned = tokio::time::timeout(patience, keep_away(&core, &of_task.0, outage)).await;
            let failure = match cordoned {
                Ok(done) => done.err().unwrap_or_default(),
                Err(_) => {
                    let why = format!("K3s's API did not answer within {:.1} s", patience.as_secs_f64());
                    // The stages behind this one wait for it less.
                    core.k3s_nodes.silent(why.clone(), begun_ms);
                    why
                }
            };
            if !failure.is_empty() {
                tracing::warn!(node = %of_task.0, failure, "the node could not be cordoned");
            }
            orders.change(&of_task, |order| (order.cordoning, order.failure) = (false, failure));
        });
        self.orders.change(key, |order| order.tasks.push(task.abort_handle()));
    }

    /// A node has come to its drain, or says again that it waits for its end.
    pub fn drain(&self, node: &NodeName, id: &OrderId, outage: u64) {
        let key = (node.clone(), id.clone());
        let known = self.orders.lock().get(&key).map(|order| order.drain.clone());
        match known {
            Some(Drained::Running) => return,
            Some(Drained::Over(failure)) => return say(&self.core, &key, failure),
            Some(Drained::Not) => {}
            None if matches!(self.core.k3s.cluster(), Ok(None)) => return say(&self.core, &key, String::new()),
            // The controller was started anew meanwhile, or the node has begun by itself.
            None => {
                let timeout_ms = timeout_ms(&self.core.config.load().power.policy.steps);
                self.begin(&key, timeout_ms.unwrap_or_default(), outage);
            }
        }
        self.orders.change(&key, |order| order.drain = Drained::Running);
        let (core, orders, of_task) = (Arc::clone(&self.core), Arc::clone(&self.orders), key.clone());
        let task = tokio::spawn(async move {
            let timeout_ms = orders.lock().get(&of_task).map_or(0, |order| order.timeout_ms);
            let within_ms = timeout_ms - RESERVE_MS.min(timeout_ms / 10);
            let deadline_ms = core.clock.monotonic_ms().saturating_add(within_ms);
            let failure = run(&core, &orders, &of_task, deadline_ms).await.err().unwrap_or_default();
            let failure: String = failure.chars().take(MOST_CHARS).collect();
            let server = orders.lock().get(&of_task).is_some_and(|order| order.server);
            orders.change(&of_task, |order| order.drain = Drained::Over(failure.clone()));
            if server {
                let waits = |order: &Order| !order.server && !matches!(order.drain, Drained::Over(_));
                orders.none(&core, deadline_ms, waits).await;
            }
            say(&core, &of_task, failure);
        });
        self.orders.change(&key, |order| order.tasks.push(task.abort_handle()));
    }

    /// A node stays: nothing more is moved off it.
    pub fn stays(&self, node: &NodeName, id: &OrderId) {
        drop(self.orders.lock().remove(&(node.clone(), id.clone())));
        self.orders.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Nothing goes on any more.
    pub fn end(&self) {
        let all = std::mem::take(&mut *self.orders.lock());
        drop(all);
        self.orders.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// For how long the API is waited for.
fn silence_ms(core: &Core) -> u64 {
    let now_ms = core.clock.monotonic_ms();
    let silent_since_ms = core.k3s_nodes.look(|known| known.silent_since_ms);
    match silent_since_ms {
        Some(since_ms) if now_ms.saturating_sub(since_ms) >= LOST_MS => SILENCE_MS.1,
        _ => SILENCE_MS.0,
    }
}

/// The cluster, and the node's name in it; none if it is none of its nodes.
async fn found(core: &Core, node: &NodeName) -> Result<Option<(Arc<Cluster>, String)>, String> {
    let Some(cluster) = core.k3s.cluster().map_err(|error| error.to_string())? else { return Ok(None) };
    // What was known before the API fell silent is as good as any.
    let known = cluster_name(core, node);
    let listed = core.k3s_nodes.look(|known| known.heard_ms.is_some());
    let name = match known {
        Some(name) => Some(name),
        None if listed => None,
        // The controller has just been started.
        None => cluster.node(node.as_str()).await.map_err(|error| error.to_string())?.map(|_| node.to_string()),
    };
    Ok(name.map(|name| (cluster, name)))
}

async fn keep_away(core: &Core, node: &NodeName, outage: u64) -> Result<(), String> {
    let Some((cluster, name)) = found(core, node).await? else { return Ok(()) };
    cordon(&cluster, &name, &By::Power(outage), core.clock.wall_ms()).await.map(drop).map_err(|error| error.to_string())
}

async fn run(core: &Core, orders: &Orders, key: &Key, deadline_ms: u64) -> Result<(), String> {
    let silence_ms = silence_ms(core);
    let until_ms = core.clock.monotonic_ms().saturating_add(SILENCE_MS.0).min(deadline_ms);
    orders.none(core, until_ms, |order| order.cordoning).await;
    let failure = orders.lock().get(key).map(|order| order.failure.clone()).unwrap_or_default();
    if !failure.is_empty() {
        // Pods would only come back to it; nor is there time for another wait.
        return Err(failure);
    }
    let Some((cluster, name)) = found(core, &key.0).await? else { return Ok(()) };
    let rules = Rules { deadline_ms, silence_ms, bare: true, emptydir: true, grace_s: None };
    let ended = drive(&cluster, &name, rules, &core.clock, |_| {}).await;
    let now_ms = core.clock.monotonic_ms();
    match ended {
        Ended::Drained(_) => Ok(()),
        Ended::Late(left) => Err(format!("{} left: {}", pods(left.len()), left_in_words(&left, now_ms))),
        Ended::Kept(refusals) => Err(refused_in_words(&refusals)),
        Ended::Silent(why, left) if left.is_empty() => Err(format!("K3s's API is silent: {why}")),
        Ended::Silent(why, left) => Err(format!("K3s's API is silent, {} left: {why}", pods(left.len()))),
    }
}

fn pods(count: usize) -> String {
    format!("{count} {}", pods_are(count))
}

fn timeout_ms(steps: &Steps) -> Option<u64> {
    let step = steps.as_slice().iter().find(|step| step.kind == StepKind::Drain)?;
    Some(step.timeout_ms.into())
}

fn say(core: &Core, key: &Key, failure: String) {
    if let Some(outbox) = core.registry.outbox(&key.0) {
        outbox.try_send(ToAgent::DrainEnded(v1::DrainEnded { order_id: key.1.to_string(), failure }));
    }
}
