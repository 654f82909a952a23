use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::K3sVersion;
use rackhaven_proto::v1::k3s_ended::Result as Ending;
use rackhaven_proto::v1::k3s_step::State;
use tokio::time::timeout;

use super::Sequence;
use super::teller::fit;
use crate::k3s::api;
use crate::k3s::cordon::{By, Done, uncordon_ours};
use crate::k3s::drain::{Asked, Wanted, drain_by_hand};

/// How long a node may take to be Ready; a board with a slow card needs minutes for its first images.
const READY: Duration = Duration::from_secs(600);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

impl Sequence {
    /// The cluster's API.
    pub(super) fn api(&self) -> Result<Arc<api::Cluster>, String> {
        let cluster = self.core.k3s.cluster().map_err(|error| error.to_string())?;
        cluster.ok_or_else(|| "there is no kubeconfig by which the cluster's API is reached".to_owned())
    }

    /// Waits until the API sees a node as Ready, with this release.
    pub(super) async fn until_ready(&self, node: &NodeName, version: &K3sVersion) -> Result<(), String> {
        const STEP: &str = "ready in the cluster";
        let mut last = String::new();
        let ready = async {
            loop {
                let Some(why) = self.hindrance(node, version).await else { return };
                if why != last {
                    self.teller.step(node, STEP, State::Running, why.clone());
                    last = why;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let ended = timeout(READY, ready).await;
        if ended.is_err() {
            let why = format!("it is not Ready after {} s: {last}", READY.as_secs());
            self.teller.step(node, STEP, State::Failed, why.clone());
            return Err(why);
        }
        let state = if last.is_empty() { State::Unchanged } else { State::Done };
        self.teller.step(node, STEP, state, version.as_str());
        Ok(())
    }

    /// Why a node is not Ready with this release, as the API sees it; none if it is.
    pub(super) async fn hindrance(&self, node: &NodeName, version: &K3sVersion) -> Option<String> {
        let api = match self.api() {
            Ok(api) => api,
            Err(why) => return Some(fit(&why)),
        };
        let why = match api.node(node.as_str()).await {
            Ok(Some(seen)) => not_ready(&seen, version)?,
            Ok(None) => "the API does not know it yet".to_owned(),
            Err(error) => error.to_string(),
        };
        Some(fit(&why))
    }

    /// Moves the pods of a node away, as far as disruption budgets allow, for the sequence of this name.
    pub(super) async fn drain(&self, node: &NodeName, sequence: &str, drain_seconds: u32) -> Result<(), String> {
        let wanted = Wanted {
            by: By::Sequence(sequence.to_owned()),
            timeout_ms: u64::from(drain_seconds) * 1000,
            force: true,
            delete_emptydir_data: true,
            grace_s: None,
        };
        let (core, cluster) = (Arc::clone(&self.core), self.api()?);
        let asked = Asked { core, cluster, names: vec![node.to_string()], wanted };
        let ended = drain_by_hand(asked, &|progress| self.teller.tell(progress)).await;
        match ended.into_iter().find(|ended| ended.result() == Ending::Failed) {
            Some(failed) => Err(format!("it is not drained: {}", failed.text)),
            None => Ok(()),
        }
    }

    /// Lets pods come again, if the sequence of this name has kept them away.
    pub(super) async fn uncordon(&self, node: &NodeName, sequence: &str) -> Result<(), String> {
        let by = By::Sequence(sequence.to_owned());
        let done = uncordon_ours(&*self.api()?, node.as_str(), &by).await.map_err(|error| error.to_string())?;
        if done == Done::Changed {
            self.teller.step(node, "uncordon", State::Done, "");
        }
        Ok(())
    }

    /// Deletes a node, and with it the password by which another of this name would be refused; whether it was there.
    pub(super) async fn delete_node(&self, node: &NodeName) -> Result<bool, String> {
        let api = self.api()?;
        let was = api.delete_node(node.as_str()).await.map_err(|error| error.to_string())?;
        // K3s does so, too, when it sees that the node is gone: that may come late.
        let password = api.delete_node_password(node.as_str()).await.map_err(|error| error.to_string())?;
        Ok(was || password)
    }
}

/// Why a node is not what it is to be; none if it is.
fn not_ready(node: &Node, version: &K3sVersion) -> Option<String> {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Some("its kubelet has not told how it is".to_owned());
    };
    if ready.status != "True" {
        return Some(format!(
            "{}: {}",
            ready.reason.as_deref().unwrap_or("NotReady"),
            ready.message.as_deref().unwrap_or("")
        ));
    }
    let runs = status.and_then(|status| status.node_info.as_ref()).map_or("", |info| info.kubelet_version.as_str());
    (runs != version.as_str()).then(|| format!("it runs {runs} still"))
}

#[cfg(test)]
mod tests {
    use super::not_ready;

    #[test]
    fn ready_is_what_the_api_says_with_the_release() {
        let node = |ready: &str, version: &str| {
            serde_json::from_value(serde_json::json!({
                "metadata": {},
                "status": {
                    "conditions": [
                        {"type": "MemoryPressure", "status": "False"},
                        {"type": "Ready", "status": ready, "reason": "KubeletNotReady", "message": "no network"},
                    ],
                    "nodeInfo": {
                        "kubeletVersion": version, "architecture": "arm64", "bootID": "", "containerRuntimeVersion": "",
                        "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "",
                        "osImage": "", "systemUUID": "",
                    },
                },
            }))
            .unwrap()
        };
        let wanted = "v1.31.4+k3s1".parse().unwrap();
        assert_eq!(not_ready(&node("True", "v1.31.4+k3s1"), &wanted), None);
        assert_eq!(not_ready(&node("True", "v1.31.3+k3s1"), &wanted), Some("it runs v1.31.3+k3s1 still".to_owned()));
        for status in ["False", "Unknown"] {
            let why = not_ready(&node(status, "v1.31.4+k3s1"), &wanted);
            assert_eq!(why, Some("KubeletNotReady: no network".to_owned()));
        }
    }
}
