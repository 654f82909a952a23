//! A K3s cluster made by `ctl`: real controller, agents and engine, with doubles of K3s, of systemd and of the API.

use std::time::Duration;

use nix::sys::signal::Signal;
use rackhaven_proto::model::NodeState;
use rackhaven_tests::k3s::{Board, DoubleRelease, VERSION};
use rackhaven_tests::wait::wait_for_within;
use rackhaven_tests::{Agent, Ctl, Fleet, Proxy, WebFolder, wait_for, wait_until};
use serde_json::Value;

const NEXT: &str = "v1.32.1+k3s1";
/// Each restart of K3s takes some seconds.
const LONG: Duration = Duration::from_secs(180);

/// A fleet whose nodes have boards that K3s can be installed on.
struct Rack {
    fleet: Fleet,
    nodes: Vec<(Agent, Board)>,
    releases: tempfile::TempDir,
}

impl Rack {
    async fn start(names: &[&str]) -> Self {
        let fleet = Fleet::start().await.unwrap();
        let mut nodes = Vec::new();
        for name in names {
            let board = Board::new().unwrap();
            board.bind_own_address().unwrap();
            let mut agent = fleet.join(name).await.unwrap();
            agent.settings.set("k3s.engine", Value::from(board.engine_script().unwrap().display().to_string()));
            agent.kill().await.unwrap();
            agent.start().unwrap();
            nodes.push((agent, board));
        }
        for name in names {
            fleet.wait_for_state(name, NodeState::Up).await.unwrap();
        }
        Self { fleet, nodes, releases: tempfile::tempdir().unwrap() }
    }

    fn ctl(&self) -> Ctl {
        self.fleet.ctl()
    }

    fn board(&self, number: usize) -> &Board {
        &self.nodes[number].1
    }

    /// Gives the controller a release.
    async fn add(&self, version: &str) {
        let release = DoubleRelease::make(&self.releases.path().join(version), version).unwrap();
        self.ctl().ok(&release.add()).await.unwrap();
    }

    async fn init(&self) -> String {
        let line = format!("k3s init master --label room=cellar --disable traefik --address {}", self.board(0).address);
        self.ctl().ok(&line).await.unwrap()
    }

    /// A sequence that takes its time, to its good end; what it said.
    async fn sequence(&self, line: &str) -> String {
        let mut asked = self.ctl().start(line, self.fleet.folder()).unwrap();
        let ended = async || asked.poll_end();
        let status = wait_for_within(LONG, line, ended).await.unwrap_or_else(|error| panic!("{error:#}"));
        assert!(status.success(), "{line}: {}{}", asked.output(), asked.log());
        asked.output()
    }

    /// Waits until the cluster's nodes are these: `NAME ROLE READY SCHEDULABLE VERSION`.
    async fn wait_for_nodes(&self, expected: &[String]) {
        let seen = std::cell::RefCell::new(Vec::new());
        let there = wait_until("the nodes", async || {
            let Ok(status) = self.ctl().json("k3s status").await else { return false };
            let line = |node: &Value| {
                let [name, role, version] = ["name", "role", "version"].map(|key| node[key].as_str().unwrap_or("-"));
                format!("{name} {role} {} {} {version}", node["ready"], node["schedulable"])
            };
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let mut lines: Vec<_> = nodes.iter().filter(|node| !node["name"].is_null()).map(line).collect();
            lines.sort();
            *seen.borrow_mut() = lines;
            *seen.borrow() == expected
        });
        assert!(there.await.is_ok(), "{:?}, not {expected:?}", seen.borrow());
    }
}

/// A server `master` and agents, all well.
fn well(agents: &[&str], version: &str) -> Vec<String> {
    let agents = agents.iter().map(|name| format!("{name} agent true true {version}"));
    [format!("master server true true {version}")].into_iter().chain(agents).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_blank_boards_to_a_cluster_and_back() {
    let rack = Rack::start(&["master", "pi-1", "pi-2"]).await;
    let ctl = rack.ctl();
    let blank: Vec<_> = rack.nodes.iter().map(|(_, board)| board.tree().unwrap()).collect();
    rack.add(VERSION).await;
    let made = rack.init().await;
    assert!(made.contains("master"), "{made}");
    // What was said of it stays when nothing is said.
    let again = ctl.json_lines("k3s init master").await.unwrap();
    assert_eq!(again.last().unwrap()["ended"][0]["result"], "unchanged", "{again:?}");
    let joined = ctl.ok("k3s join --all --label disk=card").await.unwrap();
    assert!(joined.contains("pi-1") && joined.contains("pi-2"), "{joined}");
    rack.wait_for_nodes(&well(&["pi-1", "pi-2"], VERSION)).await;
    // Again there is nothing to do, and nothing is restarted.
    let processes = || rack.nodes.iter().map(|(_, board)| board.process("k3s-agent.service")).collect::<Vec<_>>();
    let before = processes();
    let again = ctl.json_lines("k3s join --all").await.unwrap();
    let ended = &again.last().unwrap()["ended"];
    assert!(ended.as_array().unwrap().iter().all(|end| end["result"] == "unchanged"), "{ended}");
    assert_eq!(processes(), before);
    // A snapshot, new tokens, another release: the cluster is whole after each.
    let kept = ctl.ok("k3s snapshot --name before-upgrade").await.unwrap();
    assert!(kept.contains("before-upgrade"), "{kept}");
    rack.sequence("k3s token rotate --yes").await;
    rack.wait_for_nodes(&well(&["pi-1", "pi-2"], VERSION)).await;
    let refused = ctl.fails(&format!("k3s upgrade {NEXT} --yes"), 1).await.unwrap();
    assert!(refused.err.contains("the controller has no k3s"), "{refused:?}");
    rack.add(NEXT).await;
    rack.sequence(&format!("k3s upgrade {NEXT} --yes --within 30s")).await;
    rack.wait_for_nodes(&well(&["pi-1", "pi-2"], NEXT)).await;
    // One leaves, and its board is as it was; it may come again.
    ctl.ok("k3s leave pi-2 --yes --within 10s").await.unwrap();
    rack.wait_for_nodes(&well(&["pi-1"], NEXT)).await;
    assert_eq!(rack.board(2).tree().unwrap(), blank[2]);
    ctl.ok("k3s join pi-2").await.unwrap();
    rack.wait_for_nodes(&well(&["pi-1", "pi-2"], NEXT)).await;
    // The last server leaves last, and with it the cluster.
    let refused = ctl.fails("k3s leave master --yes", 1).await.unwrap();
    assert!(format!("{}{}", refused.out, refused.err).contains("let pi-1, pi-2 leave first"), "{refused:?}");
    rack.sequence("k3s leave pi-1 pi-2 master --yes --within 10s").await;
    for ((_, board), before) in rack.nodes.iter().zip(&blank) {
        assert_eq!(board.tree().unwrap(), *before);
    }
    assert!(
        !rack.fleet.state().join("k3s/cluster").exists() && !rack.fleet.state().join("k3s/kubeconfig.yaml").exists()
    );
    for (who, log) in [("controller", rack.fleet.controller_log())]
        .into_iter()
        .chain(rack.nodes.iter().map(|(agent, _)| ("agent", agent.log())))
    {
        assert!(!log.contains("K10"), "the log of {who} has a token in it");
    }
}

/// The controller, or the node's agent with the engine, is killed at some moment of a sequence; the same command again
/// does what is left.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_at_whichever_step_the_same_again_converges() {
    let mut rack = Rack::start(&["master", "pi-1"]).await;
    rack.add(VERSION).await;
    rack.init().await;
    let steps = ["preflight", "claim", "program", "images", "configuration", "unit", "start", "ready"];
    for (number, step) in steps.iter().enumerate() {
        let mut asked = rack.ctl().start("k3s join pi-1 -o json", rack.fleet.folder()).unwrap();
        let reached = format!("\"name\":\"{step}\"");
        wait_until("the step", async || asked.output().replace(' ', "").contains(&reached)).await.unwrap();
        if number % 2 == 0 {
            rack.nodes[1].0.kill().await.unwrap();
            rack.nodes[1].0.start().unwrap();
        } else {
            rack.fleet.kill_controller().await.unwrap();
            rack.fleet.start_controller().await.unwrap();
        }
        asked.kill().await.unwrap();
        rack.fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
        // The sequence of a controller that was not killed goes on with the node's next session.
        let again = async || Ok((rack.ctl().run("k3s join pi-1").await?.code == Some(0)).then_some(()));
        wait_for("the node to join", again).await.unwrap();
        rack.wait_for_nodes(&well(&["pi-1"], VERSION)).await;
        rack.ctl().ok("k3s leave pi-1 --yes --no-drain").await.unwrap();
    }
}

/// Nodes fetch K3s by themselves, over a connection that breaks, and take nothing that is not what the release's list says.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_fetch_files_by_themselves() {
    let rack = Rack::start(&["master"]).await;
    let release = DoubleRelease::make(&rack.releases.path().join("web"), VERSION).unwrap();
    let web = WebFolder::start(&rack.releases.path().join("web")).await.unwrap();
    let proxy = Proxy::start(web.address()).await.unwrap();
    let ctl = rack.ctl();
    let add =
        |url: &str| format!("k3s artifacts add --version {VERSION} --from {url} --images {}", release.list.display());
    let told = ctl.ok(&add(&format!("http://{}/absent", proxy.endpoint()))).await.unwrap();
    assert!(told.contains("/absent/k3s"), "{told}");
    let line = format!("k3s init master --address {}", rack.board(0).address);
    let refused = ctl.fails(&line, 1).await.unwrap();
    assert!(format!("{}{}", refused.out, refused.err).contains("404"), "{refused:?}");
    // Nothing was installed, and nothing of it is left with the agent.
    assert!(!rack.board(0).has("/usr/local/bin/k3s"));
    let length = std::fs::metadata(&release.program).unwrap().len();
    proxy.break_after(Some(length / 3));
    ctl.ok(&add(&format!("http://{}/", proxy.endpoint()))).await.unwrap();
    let listed = ctl.json("k3s artifacts list").await.unwrap();
    let sources: Vec<_> = listed["artifacts"].as_array().unwrap().iter().map(|one| one["source"].as_str()).collect();
    assert!(sources.len() == 2 && sources.iter().all(Option::is_some), "{listed}");
    // What somebody has put there meanwhile is not taken.
    let bytes = std::fs::read(&release.program).unwrap();
    let other: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| if at == 5000 { !byte } else { *byte }).collect();
    std::fs::write(&release.program, other).unwrap();
    let refused = ctl.fails(&line, 1).await.unwrap();
    assert!(format!("{}{}", refused.out, refused.err).contains("its SHA-256 is"), "{refused:?}");
    assert!(!rack.board(0).has("/usr/local/bin/k3s"));
    std::fs::write(&release.program, bytes).unwrap();
    let made = rack.sequence(&line).await;
    assert!(made.contains("master"), "{made}");
    rack.wait_for_nodes(&well(&[], VERSION)).await;
    assert_eq!(std::fs::read_dir(rack.nodes[0].0.state().join("k3s")).unwrap().count(), 0);
}

/// What came to nothing changes nothing, and a cluster whose only server is lost can be ended and made anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_leaves_the_cluster_as_it_was() {
    let rack = Rack::start(&["master", "pi-1"]).await;
    let ctl = rack.ctl();
    let refusal = async |line: &str| {
        let refused = ctl.fails(line, 1).await.unwrap();
        format!("{}{}", refused.out, refused.err)
    };
    // A look says what is in the way, and not that all is well.
    let route = rack.board(1).read("/proc/net/route");
    rack.board(1).put("/proc/net/route", "Iface\n").unwrap();
    for line in ["k3s check pi-1", "k3s check pi-1 --fix"] {
        let refused = refusal(line).await;
        assert!(refused.contains("failed") && refused.contains("default route: there is none"), "{refused}");
    }
    rack.board(1).put("/proc/net/route", &route).unwrap();
    let looked = ctl.ok("k3s check master pi-1").await.unwrap();
    assert!(!looked.contains("problem") && looked.contains("K3s can run here"), "{looked}");
    rack.add(VERSION).await;
    rack.init().await;
    let kubeconfig = rack.fleet.state().join("k3s/kubeconfig.yaml");
    let refused = refusal("k3s init master --flannel-iface nope").await;
    assert!(refused.contains("nope") && kubeconfig.exists(), "{refused}");
    let again = ctl.json_lines("k3s init master").await.unwrap();
    assert_eq!(again.last().unwrap()["ended"][0]["result"], "unchanged", "{again:?}");
    rack.add(NEXT).await;
    let refused = refusal(&format!("k3s init master --version {NEXT}")).await;
    assert!(refused.contains("ctl k3s upgrade"), "{refused}");
    ctl.ok("k3s join pi-1").await.unwrap();
    rack.wait_for_nodes(&well(&["pi-1"], VERSION)).await;
    // An upgrade whose files cannot be had is given up by naming the release that is there; nobody joins ahead of it.
    let list = DoubleRelease::make(&rack.releases.path().join("list"), NEXT).unwrap().list;
    let web = WebFolder::start(&rack.releases.path().join("list")).await.unwrap();
    let from = format!("http://{}/absent", web.address());
    ctl.ok(&format!("k3s artifacts add --version {NEXT} --from {from} {}", list.display())).await.unwrap();
    let refused = refusal(&format!("k3s upgrade {NEXT} --yes --within 10s")).await;
    assert!(refused.contains("404"), "{refused}");
    rack.wait_for_nodes(&well(&["pi-1"], VERSION)).await;
    rack.sequence(&format!("k3s upgrade {VERSION} --yes --within 10s")).await;
    ctl.ok("k3s join pi-1").await.unwrap();
    rack.wait_for_nodes(&well(&["pi-1"], VERSION)).await;
    // A member is not removed from the fleet unawares.
    let refused = refusal("node remove pi-1 --yes").await;
    assert!(refused.contains("ctl k3s leave pi-1"), "{refused}");
    rack.board(0).systemctl(&["stop", "k3s.service"]).await.unwrap();
    let refused = refusal("k3s leave pi-1 --yes --no-drain").await;
    assert!(refused.contains("--forget"), "{refused}");
    let forgotten = ctl.ok("k3s leave master pi-1 --forget --yes").await.unwrap();
    assert!(forgotten.contains("the cluster may know it still"), "{forgotten}");
    assert!(!rack.fleet.state().join("k3s/cluster").exists() && !kubeconfig.exists());
    // What was only forgotten can be taken off, and then there is a new cluster.
    ctl.ok("k3s leave master pi-1 --yes").await.unwrap();
    assert!(!rack.board(0).has("/usr/local/bin/k3s") && !rack.board(1).has("/usr/local/bin/k3s"));
    ctl.ok("node remove pi-1 --yes").await.unwrap();
    ctl.ok(&format!("k3s artifacts remove {NEXT} --yes")).await.unwrap();
    rack.init().await;
    rack.wait_for_nodes(&well(&[], VERSION)).await;
}

/// What goes on can be seen by who did not begin it, and ended; the same command then does what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_is_seen_and_can_be_aborted() {
    let mut rack = Rack::start(&["master", "pi-1"]).await;
    let ctl = rack.ctl();
    rack.add(VERSION).await;
    rack.init().await;
    let refused = ctl.fails("k3s abort", 1).await.unwrap();
    assert!(refused.err.contains("there is no sequence"), "{refused:?}");
    assert_eq!(ctl.json("k3s status").await.unwrap()["sequence"], Value::Null);
    // Its node is waited for.
    rack.nodes[1].0.kill().await.unwrap();
    let under_way = async || {
        wait_until("it to be under way", async || {
            let status = ctl.json("k3s status").await.unwrap_or_default();
            status["sequence"]["node"] == "pi-1" && status["sequence"]["step"]["name"] == "connection"
        })
        .await
        .unwrap();
    };
    let mut asked = ctl.start("k3s join pi-1", rack.fleet.folder()).unwrap();
    under_way().await;
    // Who no longer listens is told that it goes on.
    asked.signal(Signal::SIGINT).unwrap();
    let status = wait_for("ctl to end", async || asked.poll_end()).await.unwrap();
    assert!(status.success() && asked.log().contains("to end it: ctl k3s abort"), "{}", asked.log());
    under_way().await;
    let drawn = ctl.ok("k3s status").await.unwrap();
    assert!(drawn.starts_with("Under way: join of pi-1 by user/admin, for "), "{drawn}");
    assert!(drawn.contains("connection: running: it is not connected"), "{drawn}");
    let refused = ctl.fails("k3s join master", 1).await.unwrap();
    assert!(refused.err.contains("another sequence goes on: join of pi-1 by user/admin"), "{refused:?}");
    let told = ctl.json("k3s abort").await.unwrap();
    assert_eq!(told["aborted"]["what"], "join of pi-1 by user/admin", "{told}");
    // So is who listens while somebody else ends it.
    wait_until("the end", async || ctl.json("k3s status").await.is_ok_and(|status| status["sequence"].is_null()))
        .await
        .unwrap();
    let mut asked = ctl.start("k3s join pi-1", rack.fleet.folder()).unwrap();
    under_way().await;
    ctl.ok("k3s abort").await.unwrap();
    let status = wait_for("the end", async || asked.poll_end()).await.unwrap();
    assert!(!status.success() && asked.log().contains("aborted by user/admin"), "{}", asked.log());
    let audit = ctl.json_lines("audit").await.unwrap();
    assert_eq!(audit.iter().filter(|entry| entry["action"] == "K3sCluster/Abort").count(), 2, "{audit:?}");
    rack.nodes[1].0.start().unwrap();
    rack.fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    rack.sequence("k3s join pi-1").await;
    rack.wait_for_nodes(&well(&["pi-1"], VERSION)).await;
}
