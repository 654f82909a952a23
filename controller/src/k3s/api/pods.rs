//! Pods, and how they are moved away.

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::call::{Call, Place};
use super::cluster::Cluster;
use super::error::ApiError;

/// Pods of a list that are asked for at a time.
const PAGE: &str = "500";
/// Most pages: a node has some hundred pods at most.
const MOST_PAGES: usize = 200;

/// What became of an eviction that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicted {
    /// The pod is on its way out, for its grace period at most.
    Leaving,
    /// It was not there.
    Gone,
}

fn pods(namespace: Option<&str>) -> Place<'_> {
    Place { api_version: "v1", plural: "pods", namespace }
}

impl Cluster {
    /// All pods on a node, of all namespaces, those that are leaving too.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn pods_on(&self, node: &str) -> Result<Vec<Pod>, ApiError> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let call = Call::of(Method::GET, format!("listing the pods on {node}"), pods(None), "");
            let mut call = call.with("fieldSelector", &format!("spec.nodeName={node}")).with("limit", PAGE);
            if !next.is_empty() {
                call = call.with("continue", &next);
            }
            let list: k8s_openapi::List<Pod> = match self.ask(call).await {
                // Too much has changed since the first page.
                Err(error) if error.is_expired() && !next.is_empty() => {
                    all.clear();
                    next.clear();
                    continue;
                }
                list => list?,
            };
            all.extend(list.items);
            next = list.metadata.continue_.unwrap_or_default();
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(ApiError::Name {
            what: format!("listing the pods on {node}"),
            reason: "there is no end of them".to_owned(),
        })
    }

    /// A pod, if it is there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, ApiError> {
        let what = format!("getting pod {namespace}/{name}");
        self.look(Call::of(Method::GET, what, pods(Some(namespace)), name)).await
    }

    /// Evicts a pod, if its budget allows it. The grace period is the pod's own unless one is given. With a uid, another
    /// pod that has taken its name meanwhile is not touched.
    ///
    /// # Errors
    /// [`ApiError::is_budget`] when a disruption budget is in the way; when the API cannot be asked, or refuses otherwise.
    pub async fn evict(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        grace_seconds: Option<u32>,
    ) -> Result<Evicted, ApiError> {
        let what = format!("evicting pod {namespace}/{name}");
        let call = Call::of(Method::POST, what, pods(Some(namespace)), name).part("eviction");
        let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": name, "namespace": namespace },
            "deleteOptions": delete_options(uid, grace_seconds) });
        self.gone_or_leaving(call.body("application/json", &body), uid).await
    }

    /// Deletes a pod, whatever budget it has; a grace of 0 takes it out of the API at once, whether it still runs or not.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn delete_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        grace_seconds: Option<u32>,
    ) -> Result<Evicted, ApiError> {
        let what = format!("deleting pod {namespace}/{name}");
        let call = Call::of(Method::DELETE, what, pods(Some(namespace)), name);
        self.gone_or_leaving(call.body("application/json", &delete_options(uid, grace_seconds)), uid).await
    }

    async fn gone_or_leaving(&self, call: Call, uid: Option<&str>) -> Result<Evicted, ApiError> {
        match self.bytes(call).await {
            Ok(_) => Ok(Evicted::Leaving),
            Err(error) if error.is_not_found() || (error.is_conflict() && uid.is_some()) => Ok(Evicted::Gone),
            Err(error) => Err(error),
        }
    }
}

/// DeleteOptions.
pub(super) fn delete_options(uid: Option<&str>, grace_seconds: Option<u32>) -> Value {
    let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions" });
    if let Some(uid) = uid {
        options["preconditions"] = json!({ "uid": uid });
    }
    if let Some(grace_seconds) = grace_seconds {
        options["gracePeriodSeconds"] = grace_seconds.into();
    }
    options
}
