//! The cluster without its doors: objects, and what is answered to a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::access::{User, Wish, authorise, user_of};
use super::logs::{Follow, Log};
use super::reads::Watch;
use super::request::{Request, Target};
use super::status::Refusal;
use super::store::Store;
use super::{discovery, kinds};

/// The version that it says it is.
pub const VERSION: &str = "v1.36.0+k3s1";

/// What is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Json(u16, Value),
    Text(String),
    /// What happens from now on.
    Watch(Watch),
    /// What is logged from now on.
    Follow(Follow),
}

/// A cluster's objects, its time, and what its nodes would do.
#[derive(Debug, Default)]
pub struct World {
    pub(super) store: Store,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) now_ms: i64,
    /// Of containers: namespace, pod, container, whether it is the one before.
    pub(super) logs: BTreeMap<(String, String, String, bool), Log>,
    /// Pods that nodes run by themselves, as they are made anew.
    pub(super) mirrors: Vec<Value>,
    /// How long a pod takes to be ready, milliseconds.
    pub(super) pod_start_ms: i64,
}

impl World {
    /// One with the namespaces that are always there.
    pub fn new(now_ms: i64) -> Self {
        let mut world = Self { now_ms, ..Self::default() };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            world.make(
                "namespaces",
                json!({ "metadata": { "name": name }, "spec": { "finalizers": ["kubernetes"] },
                "status": { "phase": "Active" } }),
            );
        }
        world
    }

    /// Everything that is in it, to be kept.
    pub fn saved(&self) -> Value {
        self.store.saved()
    }

    /// One with what was kept.
    pub fn restored(saved: &Value, now_ms: i64) -> Self {
        let mut world = Self::new(now_ms);
        world.store.restore(saved);
        world
    }

    /// The time in the cluster, milliseconds since 1970-01-01 UTC.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// How long pods take to be ready from now on, milliseconds.
    pub fn set_pod_start_ms(&mut self, pod_start_ms: i64) {
        self.pod_start_ms = pod_start_ms;
    }

    /// Forgets what has happened: watches and lists that go on from an earlier version are answered with 410.
    pub fn compact(&mut self) {
        self.store.forget();
    }

    pub(super) fn user(&self, token: &str) -> Option<User> {
        user_of(&self.store, token)
    }

    /// Answers a request, or refuses it as Kubernetes does.
    pub(super) fn answer(&mut self, request: &Request) -> Result<Answer, Refusal> {
        if let Some(answer) = discovery::answer_to_all(&request.path) {
            return Ok(answer);
        }
        let Some(user) = self.user(&request.token) else {
            return Err(Refusal::new(401, "Unauthorized", "Unauthorized"));
        };
        if let Some(answer) = discovery::answer(&request.path) {
            return Ok(answer);
        }
        let unknown = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        let target = request.target().ok_or_else(unknown)?;
        let of_namespace = target.kind.plural == "namespaces";
        let wish = Wish {
            verb: request.verb(&target),
            kind: target.kind,
            subresource: target.subresource,
            namespace: if of_namespace { target.name } else { target.namespace },
            name: target.name,
        };
        authorise(&self.store, &user, &wish)?;
        if !request.is_dry() {
            return self.perform(request, target).ok_or_else(unknown)?;
        }
        let before = self.store.clone();
        let answer = self.perform(request, target);
        self.store = before;
        answer.ok_or_else(unknown)?
    }

    /// None where there is no such way.
    fn perform(&mut self, request: &Request, target: Target<'_>) -> Option<Result<Answer, Refusal>> {
        Some(match (request.method.as_str(), target.subresource) {
            ("GET", "" | "status") if target.name.is_empty() && request.says("watch") => self.watch(request, target),
            ("GET", "") if target.name.is_empty() => self.list(request, target),
            ("GET", "" | "status") => self.get(target).map(|object| Answer::Json(200, object)),
            ("GET", "log") if target.kind.plural == "pods" => self.log(request, target),
            ("GET" | "PUT" | "PATCH", "scale") if is_scalable(target.kind) => self.scale(request, target),
            ("POST", "") if target.name.is_empty() => self.create(request, target),
            ("POST", "eviction") if target.kind.plural == "pods" => self.evict(request, target),
            ("PUT", "" | "status") => self.replace(request, target),
            ("PATCH", "" | "status") => self.patch(request, target),
            ("DELETE", "") if target.name.is_empty() => self.delete_all(request, target),
            ("DELETE", "") => self.delete(request, target),
            _ => return None,
        })
    }

    pub(super) fn get(&self, target: Target<'_>) -> Result<Value, Refusal> {
        let found = self.store.get(target.kind, target.namespace, target.name);
        found.cloned().ok_or_else(|| Refusal::not_found(target.kind, target.name))
    }
}

fn is_scalable(kind: &kinds::Kind) -> bool {
    ["deployments", "replicasets", "statefulsets"].contains(&kind.plural)
}
