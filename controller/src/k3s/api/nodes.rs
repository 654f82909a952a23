//! Nodes of the cluster.

use http::Method;
use k8s_openapi::api::core::v1::Node;
use serde_json::Value;

use super::call::{Call, Place};
use super::cluster::Cluster;
use super::error::ApiError;
use super::watch::Watch;

pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
/// So long a watch is held open by the server, seconds.
const WATCH_S: &str = "290";

const NODES: Place<'static> = Place { api_version: "v1", plural: "nodes", namespace: None };

/// Nodes at one moment.
#[derive(Debug, Clone)]
pub struct NodeList {
    /// All of them.
    pub nodes: Vec<Node>,
    /// The version from which they are watched.
    pub revision: String,
}

impl Cluster {
    /// Whether the API is ready to serve.
    ///
    /// # Errors
    /// When it is not, or cannot be reached.
    pub async fn check_ready(&self) -> Result<(), ApiError> {
        self.bytes(Call::get("asking whether the API is ready", "/readyz")).await.map(drop)
    }

    /// The API's release, such as v1.36.0+k3s1.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn version(&self) -> Result<String, ApiError> {
        let version: Value = self.ask(Call::get("asking for the API's version", "/version")).await?;
        Ok(version["gitVersion"].as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(64).collect())
    }

    /// All nodes.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn nodes(&self) -> Result<NodeList, ApiError> {
        let list: k8s_openapi::List<Node> = self.ask(Call::of(Method::GET, "listing nodes", NODES, "")).await?;
        Ok(NodeList { nodes: list.items, revision: list.metadata.resource_version.unwrap_or_default() })
    }

    /// What happens to nodes after a version.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn watch_nodes(&self, revision: &str) -> Result<Watch, ApiError> {
        let call = Call::of(Method::GET, "watching nodes", NODES, "");
        let call = call.with("watch", "true").with("resourceVersion", revision);
        let call = call.with("allowWatchBookmarks", "true").with("timeoutSeconds", WATCH_S);
        Ok(Watch::new(self.lines(call).await?))
    }

    /// A node, if it is there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn node(&self, name: &str) -> Result<Option<Node>, ApiError> {
        self.look(Call::of(Method::GET, format!("getting node {name}"), NODES, name)).await
    }

    /// Changes a node by a merge patch. With `metadata.resourceVersion` in it, it is a conflict if somebody else has
    /// changed the node since.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn patch_node(&self, name: &str, patch: &Value) -> Result<Node, ApiError> {
        let call = Call::of(Method::PATCH, format!("changing node {name}"), NODES, name);
        self.ask(call.with("fieldManager", "rackhaven").body(MERGE_PATCH, patch)).await
    }

    /// Deletes a node; whether it was there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn delete_node(&self, name: &str) -> Result<bool, ApiError> {
        let call = Call::of(Method::DELETE, format!("deleting node {name}"), NODES, name);
        Ok(self.look::<Value>(call).await?.is_some())
    }

    /// Deletes the password that K3s keeps of a node, so that another machine may take its name; whether it was there.
    ///
    /// # Errors
    /// When the API cannot be asked, or refuses.
    pub async fn delete_node_password(&self, name: &str) -> Result<bool, ApiError> {
        let place = Place { api_version: "v1", plural: "secrets", namespace: Some("kube-system") };
        let what = format!("deleting the password of node {name}");
        let call = Call::of(Method::DELETE, what, place, &format!("{name}.node-password.k3s"));
        Ok(self.look::<Value>(call).await?.is_some())
    }
}
