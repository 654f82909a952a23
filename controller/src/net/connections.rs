use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rackhaven_pki::Subject;
use tokio::sync::oneshot;

use super::{Peer, Proof};

/// The open connections, so that a revocation ends those of its subject.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    anonymous: usize,
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

    /// Takes up a connection: its number, and what ends it. None if there are `anonymous_limit` without a certificate
    /// already, and this is another.
    pub(super) fn add(&self, peer: &Peer, anonymous_limit: usize) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut inner = self.lock();
        let (subject, serial) = match &peer.proof {
            Proof::Certificate { subject, serial } => (Some(subject.clone()), Some(serial.clone())),
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
        if peer.proof == Proof::Nothing {
            inner.anonymous = inner.anonymous.saturating_sub(1);
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
