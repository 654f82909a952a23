//! Stored contexts: chosen, renewed, damaged.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rackhaven_ctl::ExitStatus;
use rackhaven_pki::{Credentials, Validity};
use rackhaven_proto::model::Endpoint;
use tonic::Status;

use crate::harness::{Ctl, Outcome};
use crate::tls::{Cluster, fresh, now_unix_s};

/// Two thirds of its life are over, but not all.
fn ageing() -> Validity {
    Validity { now_unix_s: now_unix_s() - 1_000_000, life_s: 1_100_000 }
}

fn expired() -> Validity {
    Validity { now_unix_s: now_unix_s() - 1_000_000, life_s: 10_000 }
}

/// Writes a context's file by hand.
fn store(home: &Path, name: &str, credentials: &Credentials) -> PathBuf {
    let folder = home.join("rackhaven/contexts");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.context"));
    fs::write(&path, credentials.to_toml()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn status(path: &Path) -> Outcome {
    Ctl::new(path.parent().unwrap()).args(["status", "--context-file"]).args([path]).run()
}

#[test]
fn contexts_are_listed_chosen_and_removed() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let ctl = |arguments: &str| Ctl::new(home.path()).args(arguments.split(' '));
    assert_eq!(ctl("context list -o json").run().fine(), "{\n  \"contexts\": []\n}\n");
    let credentials = cluster.credentials(fresh(), vec![cluster.endpoint.clone()]);
    store(home.path(), "home", &credentials);
    store(home.path(), "work", &credentials);
    fs::write(home.path().join("rackhaven/contexts/broken.context"), "garbage").unwrap();

    let undecided = ctl("whoami").run();
    assert_eq!(undecided.status, ExitStatus::Usage);
    assert!(undecided.err.contains("ctl context use"), "{}", undecided.err);
    assert_eq!(ctl("context use broken").run().status, ExitStatus::Failed);
    assert_eq!(ctl("context use nosuch").run().status, ExitStatus::Usage);
    ctl("context use work").run().fine();
    assert!(ctl("whoami").run().fine().contains("context work"));
    assert!(ctl("whoami --context home").run().fine().contains("context home"));

    let list = ctl("context list").run().fine();
    let lines: Vec<_> = list.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(lines, ["", "", "", "*"], "{list}");
    assert!(list.contains("is not a usable context"), "{list}");

    assert_eq!(ctl("context remove work").run().status, ExitStatus::Usage);
    assert_eq!(ctl("context remove work").typing("no\n").run().status, ExitStatus::Failed);
    assert!(ctl("whoami").run().fine().contains("context work"));
    ctl("context remove work").typing("yes\n").run().fine();
    ctl("context remove broken --yes").run().fine();
    assert_eq!(ctl("whoami").run().status, ExitStatus::Usage);
    assert_eq!(ctl("context remove work --yes").run().status, ExitStatus::Usage);
}

#[test]
fn the_environment_names_a_context_and_the_command_line_overrules_it() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let credentials = cluster.credentials(fresh(), vec![cluster.endpoint.clone()]);
    let named = store(home.path(), "named", &credentials);
    store(home.path(), "other", &credentials);
    let whoami = |arguments: &[&str], file: &Path| {
        let mut ctl = Ctl::new(home.path()).args(["whoami"]).args(arguments);
        ctl.environment.context_file = Some(file.to_owned());
        ctl.run()
    };
    assert!(whoami(&[], &named).fine().contains("context named"));
    assert!(whoami(&["--context", "other"], &named).fine().contains("context other"));
    let missing = whoami(&[], &home.path().join("nothing"));
    assert_eq!(missing.status, ExitStatus::Usage);
    assert!(missing.err.contains("RACKHAVEN_CONTEXT"), "{}", missing.err);
}

#[test]
fn an_ageing_certificate_is_renewed_with_a_new_key() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    for validity in [ageing(), expired()] {
        let path = store(home.path(), "home", &cluster.credentials(validity, vec![cluster.endpoint.clone()]));
        let old = Credentials::from_toml(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = status(&path);
        assert_eq!((outcome.status, outcome.err.as_str()), (ExitStatus::Fine, ""));
        let new = Credentials::from_toml(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_ne!(new.key.to_pem(), old.key.to_pem());
        assert!(new.certificate().unwrap().not_after_unix_s > now_unix_s() + 80_000);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // The new one is left alone.
        status(&path).fine();
        assert_eq!(fs::read_to_string(&path).unwrap(), new.to_toml());
    }
    let renewals = cluster.controller.asked().iter().filter(|asked| asked.starts_with("RenewRequest")).count();
    assert_eq!(renewals, 2);
}

#[test]
fn a_renewal_that_fails_is_a_warning_until_the_end() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    cluster.answers_csr(|_| Err(Status::internal("the disk is full")));
    let store = |validity| store(home.path(), "home", &cluster.credentials(validity, vec![cluster.endpoint.clone()]));
    let path = store(ageing());
    let before = fs::read_to_string(&path).unwrap();
    let warned = status(&path);
    assert_eq!(warned.status, ExitStatus::Fine);
    assert!(warned.err.starts_with("warning: ") && warned.err.contains("the disk is full"), "{}", warned.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), before);

    let path = store(expired());
    let ended = status(&path);
    assert_eq!(ended.status, ExitStatus::NotAllowed);
    assert!(ended.err.contains("has expired") && ended.err.contains("ctl login"), "{}", ended.err);
}

#[test]
fn a_read_only_context_is_not_renewed() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let path = store(home.path(), "home", &cluster.credentials(ageing(), vec![cluster.endpoint.clone()]));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    let outcome = status(&path);
    assert_eq!((outcome.status, outcome.err.as_str()), (ExitStatus::Fine, ""));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);

    let path = home.path().join("expired.context");
    fs::write(&path, cluster.credentials(expired(), vec![cluster.endpoint.clone()]).to_toml()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let outcome = status(&path);
    assert_eq!(outcome.status, ExitStatus::NotAllowed);
    assert!(outcome.err.contains("is read-only"), "{}", outcome.err);
}

#[test]
fn a_key_that_others_can_read_is_told_of() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let path = store(home.path(), "home", &cluster.credentials(fresh(), vec![cluster.endpoint.clone()]));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = status(&path);
    assert_eq!(outcome.status, ExitStatus::Fine);
    assert!(outcome.err.contains("chmod 600"), "{}", outcome.err);
}

#[test]
fn endpoints_are_tried_in_turn() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    // One that refuses, and one that takes connections and says nothing.
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_address = mute.local_addr().unwrap().to_string();
    let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
    let (refusing, silent) = (endpoint(&refusing), endpoint(&mute_address));
    for first in [&refusing, &silent] {
        let credentials = cluster.credentials(fresh(), vec![first.clone(), cluster.endpoint.clone()]);
        let outcome = status(&store(home.path(), "home", &credentials));
        assert_eq!(outcome.status, ExitStatus::Fine, "{}", outcome.err);
    }

    let nobody = cluster.credentials(fresh(), vec![refusing.clone(), silent.clone()]);
    let path = store(home.path(), "home", &nobody);
    let ctl = Ctl::new(home.path()).args(["status", "--timeout", "600ms", "--context-file"]).args([&path]);
    let outcome = ctl.run();
    assert_eq!(outcome.status, ExitStatus::Unreachable);
    assert!(
        outcome.err.starts_with(&format!("error: cannot reach {refusing}: connection refused\n")),
        "{}",
        outcome.err
    );
    assert!(outcome.err.contains("is the controller running there?"), "{}", outcome.err);
    assert!(outcome.err.contains(&format!("{silent} (no answer within 600 ms)")), "{}", outcome.err);
}

#[test]
fn a_controller_of_another_cluster_is_not_trusted() {
    let (cluster, other) = (Cluster::start("c1"), Cluster::start("c2"));
    let home = tempfile::tempdir().unwrap();
    let path = store(home.path(), "home", &cluster.credentials(fresh(), vec![other.endpoint.clone()]));
    let outcome = status(&path);
    assert_eq!(outcome.status, ExitStatus::Unreachable);
    assert!(outcome.err.contains("another authority"), "{}", outcome.err);
    assert!(other.controller.asked().is_empty());
}
