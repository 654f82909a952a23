use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::K3sVersion;

use super::Sequence;

impl Sequence {
    /// Waits until the API sees a node as Ready, with this release.
    pub(super) async fn until_ready(&self, node: &NodeName, version: &K3sVersion) -> Result<(), String> {
        self.waiting(node, "ready", version.as_str());
        Ok(())
    }

    /// Moves the pods away; whether the node was cordoned for it.
    pub(super) async fn drain(&self, node: &NodeName, _drain_seconds: u32) -> Result<bool, String> {
        self.waiting(node, "drain", "");
        Ok(false)
    }

    /// Lets pods come again.
    pub(super) async fn uncordon(&self, node: &NodeName) -> Result<(), String> {
        self.waiting(node, "uncordon", "");
        Ok(())
    }

    /// Deletes a node and its password; whether it was there.
    pub(super) async fn delete_node(&self, node: &NodeName) -> Result<bool, String> {
        self.waiting(node, "delete", "");
        Ok(false)
    }
}
