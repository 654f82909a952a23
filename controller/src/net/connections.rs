use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rackhaven_pki::Subject;
use tokio::sync::oneshot;

use super::{Peer, Proof};

/// Most connections of one node or user: a node needs one, and a second while the first is being noticed as broken.
const PER_SUBJECT: usize = 32;

/// The open connections, so that a revocation ends those of its subject.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    anonymous: usize,
    by_subject: HashMap<Subject, usize>,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    subject: Option<Subject>,
    serial: Option<String>,
    end: oneshot::Sender<()>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Takes up a connection: its number, and what ends it. None if its subject has too many already, or if there are
    /// `anonymous_limit` without a certificate, and this is another.
    pub(super) fn add(&self, peer: &Peer, anonymous_limit: usize) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut inner = self.lock();
        let (subject, serial) = match &peer.proof {
            Proof::Certificate { subject, serial } => {
                let theirs = inner.by_subject.entry(subject.clone()).or_default();
                if *theirs >= PER_SUBJECT {
                    return None;
                }
                *theirs += 1;
                (Some(subject.clone()), Some(serial.clone()))
            }
            Proof::Local { .. } => (None, None),
            Proof::Nothing => {
                if inner.anonymous >= anonymous_limit {
                    return None;
                }
                inner.anonymous += 1;
                (None, None)
            }
        };
        inner.last += 1;
        let number = inner.last;
        let (end, ended) = oneshot::channel();
        inner.open.insert(number, Entry { subject, serial, end });
        Some((number, ended))
    }

    pub(super) fn remove(&self, number: u64, peer: &Peer) {
        let mut inner = self.lock();
        inner.open.remove(&number);
        match &peer.proof {
            Proof::Nothing => inner.anonymous = inner.anonymous.saturating_sub(1),
            Proof::Local { .. } => {}
            Proof::Certificate { subject, .. } => {
                if let Some(theirs) = inner.by_subject.get_mut(subject) {
                    *theirs = theirs.saturating_sub(1);
                    if *theirs == 0 {
                        inner.by_subject.remove(subject);
                    }
                }
            }
        }
    }

    /// Ends all connections of a subject, but not those with the certificate `except`; how many.
    pub fn end(&self, subject: &Subject, except: Option<&str>) -> usize {
        let mut inner = self.lock();
        let theirs: Vec<u64> = inner
            .open
            .iter()
            .filter(|(_, entry)| entry.subject.as_ref() == Some(subject))
            .filter(|(_, entry)| except.is_none() || entry.serial.as_deref() != except)
            .map(|(number, _)| *number)
            .collect();
        for entry in theirs.iter().filter_map(|number| inner.open.remove(number)) {
            // A connection that has just ended by itself needs no telling.
            let _ = entry.end.send(());
        }
        theirs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Connections, PER_SUBJECT, Peer, Proof, Subject};

    fn peer(name: &str, serial: &str) -> Peer {
        let subject = Subject::Node(name.parse().unwrap());
        Peer { address: "10.0.0.1:1".to_owned(), proof: Proof::Certificate { serial: serial.to_owned(), subject } }
    }

    #[test]
    fn one_subject_or_strangers_cannot_take_all_places() {
        let connections = Connections::default();
        let (pi, other) = (peer("pi", "01"), peer("other", "02"));
        let mut held: Vec<_> = (0..PER_SUBJECT).map(|_| connections.add(&pi, 1).unwrap()).collect();
        assert!(connections.add(&pi, 1).is_none());
        assert!(connections.add(&other, 1).is_some());
        let (number, _) = held.pop().unwrap();
        connections.remove(number, &pi);
        assert!(connections.add(&pi, 1).is_some());
        let stranger = Peer { address: "10.0.0.2:1".to_owned(), proof: Proof::Nothing };
        let (number, _ended) = connections.add(&stranger, 1).unwrap();
        assert!(connections.add(&stranger, 1).is_none());
        connections.remove(number, &stranger);
        assert!(connections.add(&stranger, 1).is_some());
    }

    #[test]
    fn a_revocation_ends_the_subjects_connections_and_no_others() {
        let connections = Connections::default();
        let (_, mut old) = connections.add(&peer("pi", "01"), 1).unwrap();
        let (_, mut new) = connections.add(&peer("pi", "02"), 1).unwrap();
        let (_, mut other) = connections.add(&peer("other", "03"), 1).unwrap();
        let pi = Subject::Node("pi".parse().unwrap());
        assert_eq!(connections.end(&pi, Some("02")), 1);
        assert!(old.try_recv().is_ok() && new.try_recv().is_err());
        assert_eq!(connections.end(&pi, None), 1);
        assert!(new.try_recv().is_ok() && other.try_recv().is_err());
        assert_eq!(connections.count(), 1);
    }
}
