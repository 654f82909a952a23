//! What is to be done about K3s on a node: how its files come there, and how it is told how far it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rackhaven_tests::settings::toml_list;
use rackhaven_tests::{Agent, Ctl, Fleet, Proxy, Release, wait_for, wait_until};
use serde_json::Value;

const VERSION: &str = "v1.31.4+k3s1";
const FILES: [&str; 2] = ["k3s", "k3s-airgap-images-amd64.tar.zst"];

/// What a command that fails says, wherever it says it.
async fn refusal(ctl: &Ctl, line: &str) -> String {
    let refused = ctl.fails(line, 1).await.unwrap();
    format!("{}{}", refused.out, refused.err)
}

/// Lets a node have a shell script for an engine.
fn engine(pi: &mut Agent, folder: &std::path::Path, script: &str) {
    let program = folder.join(format!("engine-{}", script.len()));
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    pi.settings.set("k3s.engine", Value::from(program.display().to_string()));
}

/// A fleet whose one node is reached through a proxy, and whose controller has a release.
async fn behind_a_proxy() -> (Fleet, Proxy, Agent, Release) {
    let mut fleet = Fleet::prepare().unwrap();
    let proxy = Proxy::start(fleet.address()).await.unwrap();
    fleet.settings.set("endpoints", toml_list([proxy.endpoint()]));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let pi = fleet.join_at("pi-1", &proxy.endpoint()).await.unwrap();
    let release = Release::new(fleet.folder()).unwrap();
    release.program(FILES[0], 0x3e, 3_000_000).unwrap();
    release.images(FILES[1], 2_000_000).unwrap();
    fleet.ctl().ok(&release.add(VERSION, &FILES).unwrap()).await.unwrap();
    (fleet, proxy, pi, release)
}

/// The connection breaks again and again: what has come is not fetched again, and in the end both files are whole.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_gone_on_with_where_they_broke_off() {
    let (fleet, proxy, mut pi, release) = behind_a_proxy().await;
    let came = fleet.folder().join("came");
    let digest = |name: &str| {
        let bytes = fs::read(release.path(name)).unwrap();
        rackhaven_pki::hex(&rackhaven_pki::sha256(&bytes))
    };
    let [program, images] = FILES.map(digest);
    let script =
        format!("case $1 in missing) echo {program}; echo {images} ;; *) cp -r \"$5\" {} ;; esac", came.display());
    engine(&mut pi, fleet.folder(), &script);
    pi.kill().await.unwrap();
    pi.start().unwrap();
    // Less than either file: neither would ever be whole if it began anew each time.
    proxy.break_after(Some(700_000));
    let refused = refusal(&fleet.ctl(), "k3s init pi-1 --address 127.0.0.1").await;
    assert!(refused.contains("ended without a report"), "{refused}");
    for name in FILES {
        assert!(fs::read(came.join(digest(name))).unwrap() == fs::read(release.path(name)).unwrap(), "{name}");
    }
    // Nothing secret stays; the files do, for the same order to go on with.
    let left: Vec<_> = fs::read_dir(pi.state().join("k3s")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["files"]);
}

/// An order, in which there are secrets, does not lie on the disk when it cannot be carried out for now.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cut_short_leaves_no_secrets() {
    let (fleet, proxy, mut pi, release) = behind_a_proxy().await;
    let digest = rackhaven_pki::hex(&rackhaven_pki::sha256(&fs::read(release.path(FILES[0])).unwrap()));
    let [asked, go_on] = ["asked", "go-on"].map(|name| fleet.folder().join(name));
    let script =
        format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done; echo {digest}", asked.display(), go_on.display());
    engine(&mut pi, fleet.folder(), &script);
    pi.kill().await.unwrap();
    pi.start().unwrap();
    let _ctl = fleet.ctl().start("k3s init pi-1 --address 127.0.0.1", fleet.folder()).unwrap();
    wait_until("the engine", async || asked.exists()).await.unwrap();
    let order = pi.state().join("k3s/order");
    assert_eq!(fs::metadata(&order).unwrap().permissions().mode() & 0o777, 0o600);
    proxy.close();
    fs::write(&go_on, "").unwrap();
    wait_until("the end of the order", async || !order.exists()).await.unwrap();
}

/// What keeps an order from being carried out is told, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_told() {
    let (mut fleet, _proxy, mut pi, _release) = behind_a_proxy().await;
    let ctl = fleet.ctl();
    let refused = refusal(&ctl, "k3s init pi-1 --address 127.0.0.1").await;
    assert!(refused.contains("install rackhaven-k3s on the node"), "{refused}");
    let refused = refusal(&ctl, "k3s init pi-1 --address 127.0.0.1 --version v1.31.5+k3s1").await;
    assert!(refused.contains("the controller has no k3s v1.31.5+k3s1 for amd64"), "{refused}");
    let refused = refusal(&ctl, "k3s init pi-1 --address 127.0.0.1 --taint x").await;
    assert!(refused.contains("taint"), "{refused}");
    let refused = refusal(&ctl, "k3s join pi-1").await;
    assert!(refused.contains("no server that is up"), "{refused}");
    let refused = refusal(&ctl, "k3s upgrade v1.32.0+k3s1 --yes").await;
    assert!(refused.contains("v1.32.0+k3s1"), "{refused}");
    let refused = refusal(&ctl, "k3s snapshot").await;
    assert!(refused.contains("no server that is up"), "{refused}");
    // One sequence at a time, which goes on without who asked for it.
    let folder = fleet.folder().to_owned();
    let (running, go_on) = (folder.join("running"), folder.join("go-on"));
    let script = format!(
        "[ $1 = run ] || exit 0; touch {}; while [ ! -e {} ]; do sleep 0.05; done",
        running.display(),
        go_on.display()
    );
    engine(&mut pi, &folder, &script);
    pi.kill().await.unwrap();
    pi.start().unwrap();
    let mut asked = ctl.start("k3s init pi-1 --address 127.0.0.1", &folder).unwrap();
    wait_until("the engine", async || running.exists()).await.unwrap();
    let refused = refusal(&ctl, "k3s check pi-1").await;
    assert!(refused.contains("another sequence goes on: init of pi-1 by"), "{refused}");
    asked.kill().await.unwrap();
    let refused = refusal(&ctl, "k3s check pi-1").await;
    assert!(refused.contains("another sequence goes on"), "{refused}");
    fs::write(&go_on, "").unwrap();
    let free = async || Ok((!ctl.run("k3s check pi-1").await?.err.contains("another sequence")).then_some(()));
    wait_for("the end of the sequence", free).await.unwrap();
    // The node goes on with an order that it had before its agent was killed; the secrets are nobody's to read.
    let path = fleet.state().join("k3s/cluster");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&path).unwrap();
    let token = kept.split("server_token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(token.len(), 32);
    assert!(!fleet.controller_log().contains(&token));
    fleet.stop_controller().await.unwrap();
}
