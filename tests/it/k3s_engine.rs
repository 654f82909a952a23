//! K3s on a node: from nothing to running, changed, removed again; with a double of K3s and of systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rackhaven_pki::sha256;
use rackhaven_proto::model::k3s::{Digest, K3sJoinToken, K3sPlace, K3sServer, K3sSettings, K3sTask, K3sTokenFor};
use rackhaven_proto::v1::k3s_finding::Level;
use rackhaven_tests::k3s::{Board, DoubleRelease, VERSION};
use rackhaven_tests::wait_for;

const SERVER: &str = "k3s.service";
const AGENT: &str = "k3s-agent.service";

pub(crate) fn release(folder: &Path, version: &str) -> DoubleRelease {
    DoubleRelease::make(&folder.join("release"), version).unwrap()
}

pub(crate) fn first(embedded_etcd: bool) -> K3sSettings {
    let server = K3sServer {
        agent_password: Some("password-of-agents".parse().unwrap()),
        embedded_etcd,
        tls_names: vec!["rack.lan".parse().unwrap()],
        disable: vec!["traefik".parse().unwrap()],
    };
    K3sSettings {
        node_name: "master".parse().unwrap(),
        place: K3sPlace::First { password: "password-of-servers".parse().unwrap(), server },
        labels: vec!["disk=ssd".parse().unwrap()],
        taints: vec![],
        node_ips: vec![],
        flannel_iface: None,
    }
}

pub(crate) fn joining(board: &Board, name: &str, authority: &str, opens: K3sTokenFor) -> K3sSettings {
    let authority = Digest(sha256(authority.as_bytes()));
    let url = board.url().parse().unwrap();
    let place = match opens {
        K3sTokenFor::Agents => {
            let token = K3sJoinToken::new(authority, opens, &"password-of-agents".parse().unwrap()).unwrap();
            K3sPlace::Agent { url, token }
        }
        K3sTokenFor::Servers => {
            let token = K3sJoinToken::new(authority, opens, &"password-of-servers".parse().unwrap()).unwrap();
            let K3sPlace::First { server, .. } = first(true).place else { unreachable!() };
            K3sPlace::Further { url, token, server }
        }
    };
    K3sSettings {
        node_name: name.parse().unwrap(),
        place,
        taints: vec!["slow:NoSchedule".parse().unwrap()],
        ..first(false)
    }
}

pub(crate) fn install(settings: &K3sSettings, release: &DoubleRelease) -> K3sTask {
    K3sTask::Install { settings: settings.clone(), version: release.version.parse().unwrap(), fix: true }
}

/// Puts a program on a node, a script of the shell's.
fn put_script(board: &Board, path: &str, script: &str) {
    board.put(path, &format!("#!/bin/sh\n{script}\n")).unwrap();
    let place = board.root().join(path.trim_start_matches('/'));
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A node as the API shows it.
async fn node(server: &Board, name: &str) -> serde_json::Value {
    let mut kubectl = server.command(server.root().join("usr/local/bin/kubectl"));
    kubectl.args(["get", "node", name, "-o", "json"]);
    let outcome = rackhaven_tests::process::run_to_end(kubectl).await.unwrap();
    serde_json::from_str(&outcome.out).unwrap_or_default()
}

fn condition(node: &serde_json::Value) -> &str {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    ready.and_then(|ready| ready["status"].as_str()).unwrap_or_default()
}

const ALL_UNCHANGED: [&str; 10] = [
    "preflight unchanged",
    "files unchanged",
    "claim unchanged",
    "program unchanged",
    "images unchanged",
    "account unchanged",
    "configuration unchanged",
    "unit unchanged",
    "start unchanged",
    "ready unchanged",
];

#[tokio::test]
async fn a_cluster_comes_up_is_upgraded_and_goes_without_a_trace() {
    let (master, second, agent) = (Board::new().unwrap(), Board::new().unwrap(), Board::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    for board in [&master, &second] {
        board.bind_own_address().unwrap();
    }
    agent.put("/etc/rancher/k3s/registries.yaml", "mirrors: {}\n").unwrap();
    let before = [&master, &second, &agent].map(|board| board.tree().unwrap());

    // The first server.
    let settings = first(true);
    let done = master.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    // Whether it was ready at the first look is its own affair.
    assert!(done.steps()[1..9].iter().all(|step| step.ends_with(" done")), "{:?}", done.steps());
    let access = done.report().access.unwrap();
    assert!(access.authority_pem.starts_with("-----BEGIN CERTIFICATE") && !access.token.is_empty());
    assert_eq!(done.news.findings.iter().filter(|found| found.level == i32::from(Level::Problem)).count(), 0);
    for line in done.outcome.err.lines().chain([done.outcome.out.as_str(), &format!("{:?}", done.news)]) {
        assert!(!line.contains("password-of") && !line.contains(&access.token), "{line}");
    }
    let pid = master.process(SERVER);
    let again = master.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    assert_eq!(again.steps()[..10], ALL_UNCHANGED);
    assert_eq!((again.steps()[10].as_str(), again.report().access), ("access unchanged", Some(access.clone())));
    assert_eq!(master.process(SERVER), pid);

    // A second one, and an agent.
    let further = joining(&master, "second", &access.authority_pem, K3sTokenFor::Servers);
    let joined = second.order(Some(&release), install(&further, &release)).await.unwrap().fine().unwrap();
    assert_eq!(joined.report().access, Some(access.clone()));
    let settings = joining(&master, "pi-1", &access.authority_pem, K3sTokenFor::Agents);
    agent.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    let known = node(&second, "pi-1").await;
    assert_eq!((condition(&known), known["spec"]["taints"][0]["key"].as_str()), ("True", Some("slow")));
    assert_eq!(known["metadata"]["labels"]["disk"], "ssd");
    assert_eq!(known["status"]["nodeInfo"]["bootID"], "11111111-0000-4000-8000-000000000001");
    assert_eq!(condition(&node(&master, "second").await), "True");
    let pid = agent.process(AGENT);
    let again = agent.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    assert_eq!(again.steps(), ALL_UNCHANGED);
    assert_eq!(agent.process(AGENT), pid);

    // An upgrade restarts once; the pods' processes go on.
    let newer = DoubleRelease::make(&folder.path().join("newer"), "v1.32.0+k3s1").unwrap();
    let upgraded = agent.order(Some(&newer), install(&settings, &newer)).await.unwrap().fine().unwrap();
    let changed: Vec<String> =
        upgraded.steps().into_iter().filter(|step| step.ends_with(" done") && step != "ready done").collect();
    assert_eq!(changed, ["files done", "program done", "images done", "start done"]);
    assert!(upgraded.text("start").contains("restarted"), "{}", upgraded.text("start"));
    assert_ne!(agent.process(AGENT), pid);
    assert_eq!(node(&master, "pi-1").await["status"]["nodeInfo"]["kubeletVersion"], "v1.32.0+k3s1");
    let images = fs::read_dir(agent.root().join("var/lib/rancher/k3s/agent/images")).unwrap().count();
    assert_eq!(images, 1);

    // What is removed leaves what was there before, and nothing else; then it can be there again.
    agent.put("/run/rules", "*filter\n:KUBE-X - [0:0]\n[1:1] -A INPUT -j ACCEPT\nCOMMIT\n").unwrap();
    // Rules of the kind that only the programs see which K3s brought along.
    let aux = "/var/lib/rancher/k3s/data/current/bin/aux";
    agent.put("/tmp/rules", "*nat\n:CNI-X - [0:0]\n[1:1] -A POSTROUTING -j MASQUERADE\nCOMMIT\n").unwrap();
    put_script(&agent, &format!("{aux}/iptables-save"), "cat \"$K3S_DOUBLE_ROOT/tmp/rules\"");
    put_script(&agent, &format!("{aux}/iptables-restore"), "cat >\"$K3S_DOUBLE_ROOT/tmp/rules\"");
    let removed = agent.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
    assert_eq!(
        removed.steps(),
        [
            "claim unchanged",
            "stop done",
            "processes done",
            "mounts unchanged",
            "network done",
            "rules done",
            "files done",
            "forget done"
        ]
    );
    assert!(removed.text("files").contains("kept in /etc/rancher/k3s, for they are the admin's: registries.yaml"));
    assert_eq!(agent.read("/run/rules"), "*filter\n[1:1] -A INPUT -j ACCEPT\nCOMMIT\n");
    assert_eq!(agent.read("/tmp/rules"), "*nat\n[1:1] -A POSTROUTING -j MASQUERADE\nCOMMIT\n");
    fs::remove_file(agent.root().join("tmp/rules")).unwrap();
    assert_eq!(agent.tree().unwrap(), before[2]);
    let nothing = agent.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
    assert_eq!(nothing.steps(), ["claim unchanged"]);
    // Its password is gone with it: while the cluster knows the node by another one, it stays out.
    let out = agent.engine(Some(&release), install(&settings, &release), 3).unwrap();
    let out = agent.finish(out).await.unwrap();
    let failure = out.report().failure;
    assert!(
        failure.starts_with("ready: it took longer than 3 s: k3s-agent.service is activating (start)"),
        "{failure}"
    );
    assert!(failure.contains("Node password rejected"), "{failure}");
    let mut kubectl = master.command(master.root().join("usr/local/bin/k3s"));
    kubectl.args(["kubectl", "get", "--raw", "/readyz"]);
    assert_eq!(rackhaven_tests::process::run_to_end(kubectl).await.unwrap().out, "ok\n");
    agent.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
    assert_eq!(agent.tree().unwrap(), before[2]);
    let other = K3sSettings { node_name: "pi-2".parse().unwrap(), ..settings };
    agent.order(Some(&release), install(&other, &release)).await.unwrap().fine().unwrap();
    for (board, before) in [(&agent, &before[2]), (&second, &before[1]), (&master, &before[0])] {
        board.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
        assert_eq!(board.tree().unwrap(), *before);
    }
}

#[tokio::test]
async fn snapshots_and_a_new_token_of_a_server_with_sqlite() {
    let (master, agent) = (Board::new().unwrap(), Board::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    master.bind_own_address().unwrap();
    let settings = first(false);
    let done = master.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    let authority = done.report().access.unwrap().authority_pem;

    let snapshot = |name: &str| K3sTask::Snapshot { name: name.parse().unwrap(), keep: 1 };
    let saved = master.order(None, snapshot("daily")).await.unwrap().fine().unwrap().report().snapshot.unwrap();
    assert!(saved.path.starts_with("/var/lib/rancher/k3s/server/db/snapshots/daily-") && saved.bytes > 0);
    let cluster = rusqlite::Connection::open(master.root().join(saved.path.trim_start_matches('/'))).unwrap();
    let text: String = cluster.query_row("SELECT value FROM kine", [], |row| row.get(0)).unwrap();
    assert!(text.contains("rackhaven-controller"));
    assert!(master.read(&saved.path.replace(".sqlite", ".token")).contains("::server:password-of-servers"));
    master.order(None, snapshot("other")).await.unwrap().fine().unwrap();
    wait_for("another second", async || {
        let next = master.order(None, snapshot("daily")).await?.fine()?.report().snapshot;
        Ok(next.filter(|next| next.path != saved.path))
    })
    .await
    .unwrap();
    assert!(!master.has(&saved.path));
    let kept = fs::read_dir(master.root().join("var/lib/rancher/k3s/server/db/snapshots")).unwrap().count();
    assert_eq!(kept, 4);

    // The token: told by no argument and no output; the server starts with it, and who comes later joins with it.
    let token =
        || K3sTask::NewToken { old: "password-of-servers".parse().unwrap(), new: "another-password".parse().unwrap() };
    let pid = master.process(SERVER);
    let rotated = master.order(None, token()).await.unwrap().fine().unwrap();
    assert_eq!(rotated.steps()[..3], ["token done", "configuration done", "start done"]);
    assert!(!rotated.outcome.err.contains("password") && !rotated.outcome.out.contains("password"));
    assert_ne!(master.process(SERVER), pid);
    assert_eq!(master.read("/etc/rancher/k3s/token"), "another-password\n");
    assert!(master.read("/var/lib/rancher/k3s/server/token").ends_with("::server:another-password\n"));
    let again = master.order(None, token()).await.unwrap().fine().unwrap();
    assert_eq!(again.steps()[..2], ["token unchanged", "configuration unchanged"]);
    let joins = joining(&master, "pi-1", &authority, K3sTokenFor::Agents);
    agent.order(Some(&release), install(&joins, &release)).await.unwrap().fine().unwrap();
    assert_eq!(condition(&node(&master, "pi-1").await), "True");
    let refused = agent.order(None, snapshot("daily")).await.unwrap();
    assert!(refused.report().failure.contains("keeps no state of the cluster"), "{}", refused.report().failure);
    let refused = agent.order(None, token()).await.unwrap();
    assert!(refused.report().failure.contains("no server of Rackhaven's"), "{}", refused.report().failure);
}
