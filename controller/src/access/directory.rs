use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rackhaven_pki::Subject;
use rackhaven_proto::model::{Role, UserName};

use super::Caller;
use crate::store::{CertificateRow, UserRow};

/// What is known of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateState {
    /// Whose it is.
    pub subject: Subject,
    /// Its end, seconds since 1970-01-01 UTC.
    pub not_after_s: i64,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// The certificates and users of the store, in memory: asked at each call.
#[derive(Debug, Default)]
pub struct Directory(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    certificates: HashMap<String, CertificateState>,
    roles: HashMap<UserName, Role>,
}

impl Directory {
    /// What the store holds.
    pub fn load(certificates: Vec<CertificateRow>, users: Vec<UserRow>) -> Self {
        let certificates = certificates
            .into_iter()
            .map(|row| {
                let state =
                    CertificateState { subject: row.subject, not_after_s: row.not_after_s, revoked: row.revoked };
                (row.serial, state)
            })
            .collect();
        let active = users.into_iter().filter(|user| user.revoked_ms.is_none());
        let roles = active.map(|user| (user.name, user.role)).collect();
        Self(RwLock::new(Inner { certificates, roles }))
    }

    /// Who the holder of a certificate is at this moment. `subject` is whom the certificate names; it counts only if
    /// the store knows the serial for the same subject.
    pub fn caller(&self, serial: &str, subject: &Subject, now_s: i64) -> Caller {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match inner.certificates.get(serial) {
            Some(state) if state.revoked || state.subject != *subject => Caller::Refused(subject.clone()),
            None => Caller::Refused(subject.clone()),
            Some(state) if state.not_after_s < now_s => Caller::Expired(subject.clone()),
            Some(_) => match subject {
                Subject::Node(name) => Caller::Node(name.clone()),
                Subject::User(name) => match inner.roles.get(name) {
                    Some(role) => Caller::User(name.clone(), *role),
                    None => Caller::Refused(subject.clone()),
                },
            },
        }
    }

    /// Takes up a new certificate.
    pub fn add_certificate(&self, serial: String, subject: Subject, not_after_s: i64) {
        let state = CertificateState { subject, not_after_s, revoked: false };
        self.write(|inner| inner.certificates.insert(serial, state));
    }

    /// Takes up a user, or changes its role.
    pub fn add_user(&self, name: UserName, role: Role) {
        self.write(|inner| inner.roles.insert(name, role));
    }

    /// Revokes all certificates of a subject, but not the one with the serial `except`; how many.
    pub fn revoke(&self, subject: &Subject, except: Option<&str>) -> usize {
        self.write(|inner| {
            let theirs = inner.certificates.iter_mut().filter(|(serial, state)| {
                state.subject == *subject && !state.revoked && Some(serial.as_str()) != except
            });
            theirs.map(|(_, state)| state.revoked = true).count()
        })
    }

    /// Forgets a user's role.
    pub fn remove_user(&self, name: &UserName) {
        self.write(|inner| inner.roles.remove(name));
    }

    /// The end of a subject's newest certificate that was not revoked, seconds since 1970-01-01 UTC, and its serial.
    pub fn newest(&self, subject: &Subject) -> Option<(i64, String)> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let theirs = inner.certificates.iter().filter(|(_, state)| state.subject == *subject && !state.revoked);
        theirs.map(|(serial, state)| (state.not_after_s, serial.clone())).max()
    }

    /// The ends of all subjects' newest certificates that were not revoked, seconds since 1970-01-01 UTC.
    pub fn node_certificate_ends(&self) -> HashMap<String, i64> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut ends = HashMap::new();
        for state in inner.certificates.values().filter(|state| !state.revoked) {
            if let Subject::Node(name) = &state.subject {
                let end = ends.entry(name.to_string()).or_insert(state.not_after_s);
                *end = (*end).max(state.not_after_s);
            }
        }
        ends
    }

    fn write<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Directory, Role, Subject};

    #[test]
    fn golden() {
        let directory = Directory::default();
        let (pi, ann) = (Subject::Node("pi".parse().unwrap()), Subject::User("ann".parse().unwrap()));
        directory.add_certificate("01".to_owned(), pi.clone(), 100);
        directory.add_certificate("02".to_owned(), ann.clone(), 100);
        directory.add_certificate("03".to_owned(), pi.clone(), 200);
        let caller = |serial: &str, subject: &Subject, now| directory.caller(serial, subject, now);
        assert_eq!(caller("01", &pi, 100), Caller::Node("pi".parse().unwrap()));
        assert_eq!(caller("01", &pi, 101), Caller::Expired(pi.clone()));
        // Right serial, another subject: not what was issued.
        assert_eq!(caller("01", &ann, 50), Caller::Refused(ann.clone()));
        assert_eq!(caller("99", &pi, 50), Caller::Refused(pi.clone()));
        // A certificate without a user is nothing.
        assert_eq!(caller("02", &ann, 50), Caller::Refused(ann.clone()));
        directory.add_user("ann".parse().unwrap(), Role::Viewer);
        assert_eq!(caller("02", &ann, 50), Caller::User("ann".parse().unwrap(), Role::Viewer));
        assert_eq!(directory.revoke(&pi, Some("03")), 1);
        assert_eq!(caller("01", &pi, 50), Caller::Refused(pi.clone()));
        assert_eq!(caller("03", &pi, 50), Caller::Node("pi".parse().unwrap()));
        assert_eq!(directory.newest(&pi), Some((200, "03".to_owned())));
        // A revoked certificate that has expired too may not renew.
        assert_eq!(caller("01", &pi, 101), Caller::Refused(pi));
    }
}
