//! Invitations become contexts, over TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rackhaven_ctl::ExitStatus;
use rackhaven_pki::{Credentials, Token};

use crate::harness::{Ctl, Outcome};
use crate::tls::{Cluster, fresh, refusing_and_noting};

/// Hands an invitation to ctl; its text is also in the file.
type Give = fn(Ctl, &str, &Path) -> Ctl;

fn login(home: &tempfile::TempDir, cluster: &Cluster) -> Ctl {
    Ctl::new(home.path()).args(["login"]).args([cluster.endpoint.to_string()])
}

fn files(home: &tempfile::TempDir, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(home.path().join("rackhaven").join(folder));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(|entries| entries.map(name).collect()).unwrap_or_default();
    names.sort();
    names
}

#[test]
fn every_source_of_an_invitation_leads_to_a_context_that_works() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    let sources: [(&str, Give); 5] = [
        ("flag", |ctl, token, _| ctl.args(["--token", token])),
        ("file", |ctl, _, file| ctl.args(["--token-file"]).args([file])),
        ("variable", |mut ctl, token, _| {
            ctl.environment.token = Some(token.to_owned());
            ctl
        }),
        ("pipe", |mut ctl, token, _| {
            ctl.input = format!("{token}\n");
            ctl
        }),
        ("keyboard", |ctl, token, _| ctl.typing(&format!("  {token} \n"))),
    ];
    for (source, give) in sources {
        let home = tempfile::tempdir().unwrap();
        let token = cluster.token();
        fs::write(&file, &token).unwrap();
        let outcome = give(login(&home, &cluster), &token, &file).run();
        assert_eq!(outcome.status, ExitStatus::Fine, "{source}: {}", outcome.err);
        assert_eq!(outcome.out, "Logged in to My Rack as ann (admin). Context my-rack: it is the current one.\n");
        assert_eq!((files(&home, "contexts"), files(&home, "pending")), (vec!["my-rack.context".to_owned()], vec![]));
        let path = home.path().join("rackhaven/contexts/my-rack.context");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let status = Ctl::new(home.path()).args(["status"]).run().fine();
        assert!(status.contains("OK: 2 nodes up") && status.contains("context my-rack"), "{status}");
    }
}

#[test]
fn another_controller_learns_nothing() {
    let (cluster, other) = (Cluster::start("c1"), Cluster::start("c2"));
    let home = tempfile::tempdir().unwrap();
    let token = cluster.token();
    let outcome = login(&home, &other).args(["--token", &token]).run();
    assert_eq!(outcome.status, ExitStatus::Unreachable, "{}", outcome.err);
    assert!(outcome.err.contains("fingerprint differs"), "{}", outcome.err);
    assert!(other.controller.asked().is_empty());
    let secret = token.parse::<Token>().unwrap().secret().to_owned();
    assert!(!outcome.err.contains(&secret), "{}", outcome.err);
    assert!(files(&home, "contexts").is_empty());
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let token = cluster.token();
    let keys = refusing_and_noting(&cluster);
    for _ in 0..2 {
        assert_eq!(login(&home, &cluster).args(["--token", &token]).run().status, ExitStatus::Unreachable);
    }
    let other = cluster.token();
    assert_eq!(login(&home, &cluster).args(["--token", &other]).run().status, ExitStatus::Unreachable);
    let keys = keys.lock().unwrap().clone();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    assert_eq!(files(&home, "pending").len(), 2);

    // A key whose writing was cut short is of no use, and in nobody's way.
    let pending = home.path().join(format!("rackhaven/pending/{}.key", token.parse::<Token>().unwrap().id));
    fs::write(&pending, "-----BEGIN PRIV").unwrap();
    cluster.enrols("ann", fresh());
    login(&home, &cluster).args(["--token", &token]).run().fine();
    assert!(!pending.exists());
}

#[test]
fn no_context_of_anybody_else_is_overwritten() {
    let (cluster, other) = (Cluster::start("c1"), Cluster::start("c2"));
    let home = tempfile::tempdir().unwrap();
    let login_as = |cluster: &Cluster, user: &str, name: &[&str]| -> Outcome {
        cluster.enrols(user, fresh());
        login(&home, cluster).args(["--token"]).args([cluster.token()]).args(name).run()
    };
    login_as(&cluster, "ann", &[]).fine();
    login_as(&cluster, "ann", &[]).fine();
    assert_eq!(files(&home, "contexts"), ["my-rack.context"]);
    // The same name of another cluster, and of another user of this one.
    assert!(login_as(&other, "ann", &[]).fine().contains("Context my-rack-2: choose it with"));
    assert!(login_as(&cluster, "bob", &["--name", "my-rack"]).fine().contains("Context my-rack-3"));
    assert_eq!(files(&home, "contexts"), ["my-rack-2.context", "my-rack-3.context", "my-rack.context"]);
    // A name that was asked for and is taken by another cluster is told before the invitation is spent.
    let asked = other.controller.asked().len();
    let refused = login_as(&other, "ann", &["--name", "my-rack"]);
    assert_eq!(refused.status, ExitStatus::Usage);
    assert!(refused.err.contains("for another cluster, My Rack"), "{}", refused.err);
    assert_eq!(other.controller.asked().len(), asked);
    fs::write(home.path().join("rackhaven/contexts/bad.context"), "garbage").unwrap();
    assert_eq!(login_as(&other, "ann", &["--name", "bad"]).status, ExitStatus::Usage);
}

#[test]
fn what_is_no_invitation_is_not_sent() {
    let cluster = Cluster::start("c1");
    let home = tempfile::tempdir().unwrap();
    let whole = cluster.token();
    for text in ["", "rh1.", "hello", &whole[..whole.len() - 1], &format!("{whole}x")] {
        let outcome = login(&home, &cluster).args(["--token", text]).run();
        assert_eq!(outcome.status, ExitStatus::Usage, "{text:?}: {}", outcome.err);
    }
    assert_eq!(login(&home, &cluster).run().status, ExitStatus::Usage);
    let missing = home.path().join("nothing");
    assert_eq!(login(&home, &cluster).args(["--token-file"]).args([missing]).run().status, ExitStatus::Usage);
    assert!(cluster.controller.asked().is_empty());
}

#[test]
fn an_answer_with_another_ca_or_key_is_refused() {
    let (cluster, other) = (Cluster::start("c1"), Cluster::start("c2"));
    let home = tempfile::tempdir().unwrap();
    let foreign: Credentials = other.credentials(fresh(), vec![]);
    cluster.answers_csr(move |_| {
        Ok(rackhaven_proto::v1::EnrolResponse {
            certificate_pem: foreign.certificate_pem.clone(),
            ca_pem: foreign.ca_pem.clone(),
            cluster_id: "c2".to_owned(),
            ..Default::default()
        })
    });
    let outcome = login(&home, &cluster).args(["--token"]).args([cluster.token()]).run();
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(outcome.err.contains("not the CA of the invitation"), "{}", outcome.err);
    assert!(files(&home, "contexts").is_empty());
}
