//! Who may call what: one table, denied by default.

mod directory;

use std::fmt;

use rackhaven_pki::Subject;
use rackhaven_proto::model::backup::BackupAction;
use rackhaven_proto::model::{NodeName, Role, UserName};

pub use directory::{CertificateState, Directory};

/// Who calls, as far as the connection and the store prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No certificate.
    Anonymous,
    /// An enrolled node.
    Node(NodeName),
    /// A user and what it may do now.
    User(UserName, Role),
    /// Root, or the controller's own user, on this machine.
    Local(u32),
    /// A known subject whose certificate has expired.
    Expired(Subject),
    /// A certificate that was revoked, or that the store does not know.
    Refused(Subject),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::User(name, _) => write!(f, "user/{name}"),
            Self::Local(uid) => write!(f, "local/{uid}"),
            Self::Expired(subject) | Self::Refused(subject) => write!(f, "{subject}"),
        }
    }
}

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Anybody; the method checks an invitation.
    Invitation,
    /// A known subject, its certificate expired or not.
    KnownKey,
    /// A node, about itself.
    Node,
    /// A user with at least this role.
    AtLeast(Role),
}

/// Every method, and what it asks. What is not here is denied.
pub const METHODS: &[(&str, Requirement)] = &[
    ("/rackhaven.v1.Enrolment/Enrol", Requirement::Invitation),
    ("/rackhaven.v1.Enrolment/Renew", Requirement::KnownKey),
    ("/rackhaven.v1.Sessions/Open", Requirement::Node),
    ("/rackhaven.v1.Fleet/GetStatus", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Fleet/GetNode", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Fleet/GetHistory", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Fleet/InviteNode", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Fleet/RejoinNode", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Fleet/RemoveNode", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Fleet/LabelNode", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Fleet/RebootNode", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Fleet/PowerOffNode", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Logs/Read", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Logs/Send", Requirement::Node),
    ("/rackhaven.v1.Events/List", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Power/GetStatus", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Power/Watch", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Power/GetPlan", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Power/Shutdown", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Power/Drill", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Power/Abort", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Power/ListOutages", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Backups/ListJobs", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Backups/ApplyJobs", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Backups/RemoveJobs", Requirement::AtLeast(Role::Admin)),
    // What removes or writes over something asks for more: `decide_run`.
    ("/rackhaven.v1.Backups/Start", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Backups/Stop", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Backups/Watch", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Backups/ListRuns", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Backups/ListArchives", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Alerts/List", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Alerts/ListHistory", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Alerts/Ack", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Alerts/Silence", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Alerts/Unsilence", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.Alerts/Test", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3s/ListArtifacts", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.K3s/AddArtifact", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3s/RemoveArtifacts", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Check", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Init", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Join", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Leave", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Snapshot", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sCluster/Upgrade", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/RotateToken", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.K3sCluster/Abort", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3s/GetStatus", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.K3s/Cordon", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3s/Uncordon", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3s/Drain", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sWorkloads/Get", Requirement::AtLeast(Role::Viewer)),
    // What reaches beyond its own pods asks for more: `workloads::harm`.
    ("/rackhaven.v1.K3sWorkloads/Apply", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sWorkloads/Scale", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sWorkloads/Delete", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sWorkloads/ReadLogs", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sWorkloads/WatchRollout", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.K3sWorkloads/ListRevisions", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.K3sWorkloads/Rollout", Requirement::AtLeast(Role::Operator)),
    ("/rackhaven.v1.K3sNodes/Report", Requirement::Node),
    ("/rackhaven.v1.K3sNodes/Fetch", Requirement::Node),
    ("/rackhaven.v1.Access/WhoAmI", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Access/InviteUser", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Access/ListUsers", Requirement::AtLeast(Role::Viewer)),
    ("/rackhaven.v1.Access/RevokeUser", Requirement::AtLeast(Role::Admin)),
    ("/rackhaven.v1.Access/ListAudit", Requirement::AtLeast(Role::Admin)),
];

/// Why a call was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Who calls is not known: a certificate is missing, expired, revoked or foreign.
    Unauthenticated(String),
    /// Who calls is known, and may not.
    NotAllowed(String),
}

/// Decides on one call.
///
/// # Errors
/// The reason of a denial, for the caller and the audit log.
pub fn decide(caller: &Caller, method: &str) -> Result<(), Denial> {
    let short = short_name(method);
    let Some((_, requirement)) = METHODS.iter().find(|(name, _)| *name == method) else {
        return Err(Denial::NotAllowed(format!("there is no method {short}")));
    };
    let refused = |reason: &str| Err(Denial::Unauthenticated(reason.to_owned()));
    match (requirement, caller) {
        (_, Caller::Refused(subject)) => refused(&format!(
            "the certificate of {subject} was revoked or is not known; a new invitation brings it back"
        )),
        (Requirement::Invitation | Requirement::KnownKey, Caller::Node(_) | Caller::User(..) | Caller::Expired(_))
        | (Requirement::Invitation, Caller::Anonymous)
        | (Requirement::Node, Caller::Node(_))
        | (Requirement::AtLeast(_), Caller::Local(_)) => Ok(()),
        (_, Caller::Expired(subject)) => {
            refused(&format!("the certificate of {subject} has expired; it may only be renewed"))
        }
        (_, Caller::Anonymous) => refused(&format!("{short} needs a certificate")),
        (Requirement::AtLeast(role), Caller::User(_, has)) if has >= role => Ok(()),
        (Requirement::AtLeast(role), Caller::User(name, has)) => {
            Err(Denial::NotAllowed(format!("{short} needs the role {role}; {name} is {has}")))
        }
        (Requirement::AtLeast(_), Caller::Node(name)) => {
            Err(Denial::NotAllowed(format!("{short} is for users; {name} is a node")))
        }
        (Requirement::Node, _) => Err(Denial::NotAllowed(format!("{short} is for nodes"))),
        (Requirement::KnownKey | Requirement::Invitation, Caller::Local(_)) => {
            Err(Denial::NotAllowed(format!("{short} needs a certificate, which a Unix socket has not")))
        }
    }
}

/// Decides on one kind of backup run, for whoever may call `Backups/Start`: archives are removed, and files written over,
/// by admins only.
///
/// # Errors
/// The reason of a denial.
pub fn decide_run(caller: &Caller, action: &BackupAction) -> Result<(), Denial> {
    let harms = matches!(action, BackupAction::Restore(_) | BackupAction::Prune { dry_run: false });
    match caller {
        Caller::User(name, has) if harms && *has < Role::Admin => {
            let message = format!("{} of a backup needs the role {}; {name} is {has}", action.as_str(), Role::Admin);
            Err(Denial::NotAllowed(message))
        }
        _ => Ok(()),
    }
}

/// `/rackhaven.v1.Fleet/GetStatus` as people say it: `Fleet/GetStatus`.
pub fn short_name(method: &str) -> &str {
    method.strip_prefix("/rackhaven.v1.").unwrap_or(method)
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::backup::Restore;

    use super::{BackupAction, Caller, Denial, METHODS, Requirement, Role, Subject, decide, decide_run};

    fn callers() -> Vec<(&'static str, Caller)> {
        let user = |role| Caller::User("ann".parse().unwrap(), role);
        vec![
            ("anonymous", Caller::Anonymous),
            ("node", Caller::Node("pi".parse().unwrap())),
            ("viewer", user(Role::Viewer)),
            ("operator", user(Role::Operator)),
            ("admin", user(Role::Admin)),
            ("local", Caller::Local(0)),
            ("expired", Caller::Expired(Subject::Node("pi".parse().unwrap()))),
            ("refused", Caller::Refused(Subject::Node("pi".parse().unwrap()))),
        ]
    }

    /// Who may pass each requirement, written out.
    #[test]
    fn golden() {
        for (method, requirement) in METHODS {
            let allowed: &[&str] = match requirement {
                Requirement::Invitation => &["anonymous", "node", "viewer", "operator", "admin", "expired"],
                Requirement::KnownKey => &["node", "viewer", "operator", "admin", "expired"],
                Requirement::Node => &["node"],
                Requirement::AtLeast(Role::Viewer) => &["viewer", "operator", "admin", "local"],
                Requirement::AtLeast(Role::Operator) => &["operator", "admin", "local"],
                Requirement::AtLeast(Role::Admin) => &["admin", "local"],
            };
            for (who, caller) in callers() {
                assert_eq!(decide(&caller, method).is_ok(), allowed.contains(&who), "{who} on {method}");
            }
        }
    }

    /// The table against the contract's own text.
    #[test]
    fn every_method_of_the_contract_has_one_row() {
        let protos = [
            include_str!("../../../proto/rackhaven/v1/access.proto"),
            include_str!("../../../proto/rackhaven/v1/alert.proto"),
            include_str!("../../../proto/rackhaven/v1/backup.proto"),
            include_str!("../../../proto/rackhaven/v1/enrolment.proto"),
            include_str!("../../../proto/rackhaven/v1/event.proto"),
            include_str!("../../../proto/rackhaven/v1/fleet.proto"),
            include_str!("../../../proto/rackhaven/v1/k3s.proto"),
            include_str!("../../../proto/rackhaven/v1/k3s_cluster.proto"),
            include_str!("../../../proto/rackhaven/v1/k3s_node.proto"),
            include_str!("../../../proto/rackhaven/v1/log.proto"),
            include_str!("../../../proto/rackhaven/v1/power.proto"),
            include_str!("../../../proto/rackhaven/v1/session.proto"),
            include_str!("../../../proto/rackhaven/v1/workload.proto"),
        ];
        let mut contract = Vec::new();
        for proto in protos {
            let mut service = "";
            for line in proto.lines() {
                let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
                match (words.next(), words.next()) {
                    (Some("service"), Some(name)) => service = name,
                    (Some("rpc"), Some(name)) => contract.push(format!("/rackhaven.v1.{service}/{name}")),
                    _ => {}
                }
            }
        }
        contract.sort();
        let mut rows: Vec<_> = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        rows.sort();
        assert_eq!(rows, contract);
    }

    #[test]
    fn what_changes_something_is_not_for_viewers() {
        for (method, requirement) in METHODS {
            let verb = method.rsplit('/').next().unwrap();
            let looks = ["Get", "List", "Watch", "WhoAmI"].iter().any(|prefix| verb.starts_with(prefix));
            if let Requirement::AtLeast(role) = requirement {
                assert!(looks || *role > Role::Viewer, "{method} is open to viewers");
            }
        }
    }

    #[test]
    fn backups_are_harmed_by_admins_only() {
        let restore = Restore {
            archive: None,
            before_unix_ms: None,
            paths: Vec::new(),
            to: "/tmp/back".into(),
            dry_run: true,
            in_place: false,
            of_node: None,
        };
        for (action, operators) in [
            (BackupAction::Save { full: true }, true),
            (BackupAction::Verify { archive: None, percent: 100 }, true),
            (BackupAction::List, true),
            (BackupAction::Prune { dry_run: true }, true),
            (BackupAction::Prune { dry_run: false }, false),
            (BackupAction::Restore(restore), false),
        ] {
            for (role, allowed) in [(Role::Operator, operators), (Role::Admin, true)] {
                let caller = Caller::User("ann".parse().unwrap(), role);
                assert_eq!(decide_run(&caller, &action).is_ok(), allowed, "{role}: {action:?}");
            }
            assert!(decide_run(&Caller::Local(0), &action).is_ok());
        }
    }

    #[test]
    fn an_unknown_method_is_denied_to_everybody() {
        for (_, caller) in callers() {
            assert!(decide(&caller, "/rackhaven.v1.Fleet/Nope").is_err());
            assert!(decide(&caller, "").is_err());
        }
        assert!(matches!(decide(&Caller::Local(0), "/x/y"), Err(Denial::NotAllowed(_))));
    }
}
