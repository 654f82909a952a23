//! Orders to read a node's log, from the user who asks to the node that answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::{LogOrderId, NodeName};
use rackhaven_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

/// Messages that wait for one reader.
const QUEUE_LENGTH: usize = 4;
/// Most readers at a time, and most of one node.
const MOST: usize = 64;
const MOST_OF_NODE: usize = 4;

/// What a reader gets.
pub type Lines = Result<v1::LogLines, Status>;

/// Who waits for which node's log.
#[derive(Debug, Clone, Default)]
pub struct LogDesk(Arc<Mutex<HashMap<LogOrderId, Reader>>>);

#[derive(Debug)]
struct Reader {
    node: NodeName,
    /// Taken by the node's answer.
    lines: Option<mpsc::Sender<Lines>>,
}

/// One who reads. Dropped, the order is forgotten and the node's answer ended.
#[derive(Debug)]
pub struct Reading {
    desk: LogDesk,
    id: LogOrderId,
    /// What the node sends.
    pub lines: mpsc::Receiver<Lines>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.desk.lock().remove(&self.id);
    }
}

impl LogDesk {
    /// Begins to read; none if there are too many already.
    pub fn begin(&self, id: LogOrderId, node: NodeName) -> Option<Reading> {
        let mut readers = self.lock();
        let of_node = readers.values().filter(|reader| reader.node == node).count();
        if readers.len() >= MOST || of_node >= MOST_OF_NODE {
            return None;
        }
        let (sender, lines) = mpsc::channel(QUEUE_LENGTH);
        readers.insert(id.clone(), Reader { node, lines: Some(sender) });
        Some(Reading { desk: self.clone(), id, lines })
    }

    /// To whom a node's answer goes, once; none if this was not asked of it.
    pub fn answered(&self, id: &LogOrderId, node: &NodeName) -> Option<mpsc::Sender<Lines>> {
        self.lock().get_mut(id).filter(|reader| reader.node == *node)?.lines.take()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LogOrderId, Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{LogDesk, LogOrderId, MOST, MOST_OF_NODE, NodeName};

    fn id(number: usize) -> LogOrderId {
        format!("{number:032x}").parse().unwrap()
    }

    fn node(number: usize) -> NodeName {
        format!("pi-{number}").parse().unwrap()
    }

    #[test]
    fn an_answer_is_the_asked_nodes_and_comes_once() {
        let desk = LogDesk::default();
        let reading = desk.begin(id(1), node(1)).unwrap();
        assert!(desk.answered(&id(1), &node(2)).is_none());
        assert!(desk.answered(&id(2), &node(1)).is_none());
        assert!(desk.answered(&id(1), &node(1)).is_some());
        assert!(desk.answered(&id(1), &node(1)).is_none());
        drop(reading);
        assert!(desk.lock().is_empty());
    }

    #[test]
    fn readers_are_bounded() {
        let desk = LogDesk::default();
        let all: Vec<_> = (0..MOST_OF_NODE).map(|number| desk.begin(id(number), node(0)).unwrap()).collect();
        assert!(desk.begin(id(100), node(0)).is_none());
        let others: Vec<_> = (MOST_OF_NODE..MOST).map(|number| desk.begin(id(number), node(number)).unwrap()).collect();
        assert!(desk.begin(id(101), node(101)).is_none());
        drop(others);
        assert!(desk.begin(id(101), node(101)).is_some());
        assert_eq!(all.len(), MOST_OF_NODE);
    }
}
