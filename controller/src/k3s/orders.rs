//! Orders about K3s, from the sequence that gives them to the node that carries them out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::Artifact;
use rackhaven_proto::v1;
use tokio::sync::mpsc;

/// News that wait for the sequence.
const QUEUE_LENGTH: usize = 16;

/// What is heard of an order.
#[derive(Debug)]
pub enum Heard {
    /// How far it is.
    News(Box<v1::K3sNews>),
    /// The node has gone without a report; the order can be given again.
    Gone,
}

/// Who waits for which node's news.
#[derive(Debug, Clone, Default)]
pub struct OrderDesk(Arc<Mutex<HashMap<String, Waiting>>>);

#[derive(Debug)]
struct Waiting {
    node: NodeName,
    artifacts: Vec<Artifact>,
    news: mpsc::Sender<Heard>,
}

/// An order whose end is waited for. Dropped, it is forgotten.
#[derive(Debug)]
pub struct Ordered {
    desk: OrderDesk,
    id: String,
    /// What the node tells.
    pub news: mpsc::Receiver<Heard>,
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.desk.lock().remove(&self.id);
    }
}

impl OrderDesk {
    /// Begins to wait for an order of which the node may fetch these files.
    pub fn begin(&self, id: String, node: NodeName, artifacts: Vec<Artifact>) -> Ordered {
        let (sender, news) = mpsc::channel(QUEUE_LENGTH);
        self.lock().insert(id.clone(), Waiting { node, artifacts, news: sender });
        Ordered { desk: self.clone(), id, news }
    }

    /// To whom a node's news go; none if nobody waits for them. After a broken connection they may come again.
    pub fn answered(&self, id: &str, node: &NodeName) -> Option<mpsc::Sender<Heard>> {
        let waiting = self.lock();
        waiting.get(id).filter(|waiting| waiting.node == *node).map(|waiting| waiting.news.clone())
    }

    /// A file of an order; none if the order is not this node's, or does not name it.
    pub fn artifact(&self, id: &str, node: &NodeName, sha256: &[u8]) -> Option<Artifact> {
        let waiting = self.lock();
        let waiting = waiting.get(id).filter(|waiting| waiting.node == *node)?;
        waiting.artifacts.iter().find(|artifact| artifact.sha256.0 == *sha256).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest};

    use super::{NodeName, OrderDesk};

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    #[test]
    fn an_order_and_its_files_are_one_nodes() {
        let file = Artifact {
            version: "v1.31.4+k3s1".parse().unwrap(),
            arch: Arch::Arm64,
            kind: ArtifactKind::Program,
            bytes: 3,
            sha256: Digest([7; 32]),
            added_unix_ms: 0,
            source: None,
        };
        let desk = OrderDesk::default();
        let ordered = desk.begin("a".to_owned(), node("pi-1"), vec![file.clone()]);
        assert_eq!(desk.artifact("a", &node("pi-1"), &[7; 32]), Some(file));
        for (id, name, sha256) in [("a", "pi-2", [7; 32]), ("b", "pi-1", [7; 32]), ("a", "pi-1", [8; 32])] {
            assert_eq!(desk.artifact(id, &node(name), &sha256), None);
        }
        assert!(desk.answered("a", &node("pi-2")).is_none());
        // A connection that broke is followed by another.
        assert!(desk.answered("a", &node("pi-1")).is_some());
        assert!(desk.answered("a", &node("pi-1")).is_some());
        drop(ordered);
        assert!(desk.answered("a", &node("pi-1")).is_none());
    }
}
