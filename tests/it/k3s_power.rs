//! Outages of a rack under K3s: nodes are drained on their way down, and welcome again when they are back.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rackhaven_tests::kube::{Fault, FaultRule, World};
use rackhaven_tests::rack::{all_stories, now, told};
use rackhaven_tests::{Back, Kube, Rack, RackPlan, wait_until};
use serde_json::Value;
use tokio::task::JoinHandle;

const BY: &str = "rackhaven.io/cordoned-by";
/// So long after a board's start its kubelet reports; so long after its end it is missed.
const KUBELET: Duration = Duration::from_millis(300);
const MISSED: Duration = Duration::from_millis(700);
/// How long the whole way down takes here, and a little more.
const LONGEST_MS: u64 = 4000;

/// A rack whose boards are a cluster's nodes. The API is another machine's, so that stories can let it die.
struct Story {
    kube: Arc<Kube>,
    rack: Arc<Rack>,
    kubelets: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Story {
    fn drop(&mut self) {
        self.kubelets.abort();
    }
}

async fn story(plan: RackPlan, nodes: &[(&str, bool)]) -> Story {
    let kube = Arc::new(Kube::start().await.unwrap());
    kube.with(|world| nodes.iter().for_each(|(node, server)| world.add_node(node, *server)));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("kubeconfig.yaml");
    std::fs::write(&config, kube.controller_kubeconfig().unwrap()).unwrap();
    let plan = plan.with("k3s.kubeconfig", Value::from(config.to_str().unwrap()));
    let rack = Arc::new(plan.build().await.unwrap());
    let names = nodes.iter().map(|(node, _)| (*node).to_owned()).collect();
    let kubelets = tokio::spawn(kubelets(Arc::clone(&kube), Arc::clone(&rack), names));
    let story = Story { kube, rack, kubelets, _folder: folder };
    story.wait_until_known(nodes.len()).await;
    story
}

/// What the boards' kubelets tell the API: of a board that is off nothing, and so it is said to be ready for a while.
async fn kubelets(kube: Arc<Kube>, rack: Arc<Rack>, nodes: Vec<String>) {
    let mut seen = BTreeMap::<String, (String, Instant)>::new();
    loop {
        for node in &nodes {
            let mut boot = String::new();
            if rack.is_on(node) {
                rack.change_agent(node, |agent| boot = agent.boot_id());
            }
            let since = match seen.get(node) {
                Some((last, since)) if *last == boot => *since,
                _ => {
                    seen.insert(node.clone(), (boot.clone(), now()));
                    now()
                }
            };
            let wait = if boot.is_empty() { MISSED } else { KUBELET };
            if since.elapsed() >= wait {
                kube.with(|world| report(world, node, &boot));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn report(world: &mut World, node: &str, boot: &str) {
    let now_is = world.object("nodes", "", node).unwrap_or_default();
    let status = if boot.is_empty() { "Unknown" } else { "True" };
    if now_is["status"]["conditions"][0]["status"] != status {
        world.set_node_ready(node, status, false);
    }
    if !boot.is_empty() && now_is["status"]["nodeInfo"]["bootID"] != boot {
        world.change_object("nodes", "", node, |node| node["status"]["nodeInfo"]["bootID"] = boot.into());
    }
}

impl Story {
    async fn wait_until_known(&self, count: usize) {
        let ctl = self.rack.ctl();
        wait_until("the controller to know the cluster", async || {
            let status = ctl.json("k3s status").await.unwrap_or_default();
            status["nodes"].as_array().is_some_and(|nodes| {
                nodes.len() == count && nodes.iter().all(|node| node["ready"] == true && node["node"] == node["name"])
            })
        })
        .await
        .unwrap();
    }

    fn mark(&self, node: &str) -> Option<String> {
        let node = self.kube.with(|world| world.object("nodes", "", node))?;
        node["metadata"]["annotations"][BY].as_str().map(str::to_owned)
    }

    fn is_cordoned(&self, node: &str) -> bool {
        self.kube.with(|world| world.is_cordoned(node))
    }

    /// Somebody cordons a node, who is not us.
    fn admin_cordons(&self, node: &str) {
        self.kube.with(|world| {
            world.change_object("nodes", "", node, |node| node["spec"]["unschedulable"] = true.into());
        });
    }

    /// Pods that run on their nodes.
    async fn wait_for_pods(&self, count: usize) {
        let running = |world: &mut World| {
            let pods = world.objects("pods");
            pods.iter()
                .filter(|pod| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null())
                .count()
        };
        wait_until("the pods to run", async || self.kube.with(running) == count).await.unwrap();
    }

    /// All is as before: these nodes take pods, and the mark of no outage is left.
    async fn wait_until_welcome(&self, nodes: &[&str]) {
        let welcome = wait_until("all nodes to be welcome again", async || {
            nodes.iter().all(|node| !self.is_cordoned(node) && self.mark(node).is_none())
        });
        let marks = || nodes.iter().map(|node| (*node, self.is_cordoned(node), self.mark(node))).collect::<Vec<_>>();
        welcome.await.unwrap_or_else(|error| panic!("{error:#}: {:?}\n{}", marks(), self.rack.story()));
    }

    /// What the timeline of an outage says of a node's drain: how it ended.
    async fn drain_of(&self, outage: u64, node: &str) -> String {
        let lines = self.rack.wait_for_end(outage).await.unwrap().events;
        let ended = lines
            .iter()
            .find(|line| line.node == node && line.message.starts_with("drain ") && !line.message.ends_with("begun"));
        ended.unwrap_or_else(|| panic!("no drain of {node}: {}", told(&lines))).message.clone()
    }

    async fn next_outage(&self) -> u64 {
        self.rack.outages().await.unwrap().first().map_or(1, |last| last.number + 1)
    }

    /// Mains fails, all go, mains is back, all are back.
    async fn whole_outage(&self) -> u64 {
        let number = self.next_outage().await;
        self.rack.ups_says("OB LB");
        wait_until("all to be off", async || self.rack.off().len() == self.rack.names().len()).await.unwrap();
        self.rack.ups_says("OL");
        self.rack.wait_for_end(number).await.unwrap();
        self.rack.wait_until_well().await.unwrap();
        number
    }
}

fn seconds(text: &str) -> f64 {
    let word = text.split(" in ").nth(1).and_then(|rest| rest.split(' ').next());
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no time in {text:?}"))
}

fn plan() -> RackPlan {
    RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::PowerCycle)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .master("m-1")
}

const NODES: [(&str, bool); 4] = [("w-1", false), ("w-2", false), ("s-1", false), ("m-1", true)];

#[tokio::test]
async fn mains_and_controller_may_fail_at_any_instant() {
    let count = if all_stories() { 60 } else { 5 };
    let story = story(plan(), &NODES).await;
    story.admin_cordons("s-1");
    story.kube.with(|world| {
        world.add_deployment("default", "web", 6, "300");
        world.add_budget("default", "web", 4);
    });
    story.wait_for_pods(6).await;
    let mut seed = std::hash::RandomState::new().build_hasher().finish();
    let (first_seed, mut kills, mut marked) = (seed, 0, 0);
    for number in 0..count {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part_ms = LONGEST_MS / count;
        let back_after = Duration::from_millis(number * part_ms + (seed >> 33) % part_ms);
        let kill_after = Duration::from_millis((seed >> 20) % LONGEST_MS);
        let outage = story.next_outage().await;
        story.rack.ups_says("OB LB");
        let (rack, begun) = (&story.rack, now());
        wait_until("the outage to be seen", async || !rack.memory()["state"]["outage"].is_null()).await.unwrap();
        let mut killed = false;
        wait_until("mains", async || {
            if !killed && begun.elapsed() >= kill_after {
                killed = true;
                rack.kill_controller();
                kills += usize::from(rack.start_controller().unwrap());
            }
            begun.elapsed() >= back_after
        })
        .await
        .unwrap();
        marked += usize::from(["w-1", "w-2", "m-1"].iter().any(|node| story.mark(node).is_some()));
        rack.ups_says("OL");
        let told_of = |error: anyhow::Error| {
            format!(
                "back after {back_after:?}, kill after {kill_after:?} (seed {first_seed:x}): {error:#}\n{}",
                rack.story()
            )
        };
        rack.wait_for_end(outage).await.map_err(told_of).unwrap();
        rack.wait_until_well().await.map_err(told_of).unwrap();
        story.wait_until_welcome(&["w-1", "w-2", "m-1"]).await;
        assert!(story.is_cordoned("s-1") && story.mark("s-1").is_none(), "the admin's cordon is gone");
        story.wait_for_pods(6).await;
    }
    println!(
        "{count} outages (seed {first_seed:x}), in {marked} nodes were cordoned as mains came back; controller killed {kills} times"
    );
    assert!(marked > 0, "no node was ever cordoned");
}

#[tokio::test]
async fn a_stage_is_cordoned_before_its_first_pod_goes_and_a_server_waits_for_agents() {
    let plan = RackPlan::default()
        .stage("all", &[("w-1", Back::WakeOnLan), ("w-2", Back::WakeOnLan), ("s-1", Back::WakeOnLan)])
        .with("power.steps.drain_seconds", 20)
        .with("power.cut_load", false);
    let story = story(plan, &[("w-1", false), ("w-2", false), ("s-1", true)]).await;
    // Nothing has to move away from the server.
    story.admin_cordons("s-1");
    story.kube.with(|world| world.add_deployment("default", "slow", 8, "1500"));
    story.wait_for_pods(8).await;
    let before = story.kube.requests().len();
    let outage = story.whole_outage().await;
    let requests = story.kube.requests().split_off(before);
    let place = |method: &str, path: &str| {
        let found = requests.iter().position(|request| request.method == method && request.path.contains(path));
        found.unwrap_or_else(|| panic!("no {method} {path}"))
    };
    let first_eviction = place("POST", "/eviction");
    for node in ["w-1", "w-2"] {
        assert!(place("PATCH", &format!("/nodes/{node}")) < first_eviction, "{node} was cordoned too late");
    }
    let (mut drains, mut told) = (Vec::new(), Vec::new());
    for node in ["w-1", "w-2", "s-1"] {
        let drain = story.drain_of(outage, node).await;
        assert!(drain.starts_with("drain done"), "{node}: {drain}");
        drains.push(seconds(&drain));
        told.push(drain);
    }
    assert!(drains[0].min(drains[1]) > 0.4 && drains[2] > drains[0].max(drains[1]) - 0.3, "{told:?}");
    story.wait_until_welcome(&["w-1", "w-2"]).await;
    assert!(story.is_cordoned("s-1") && story.mark("s-1").is_none());
    story.wait_for_pods(8).await;
}

#[tokio::test]
async fn fifty_pods_on_the_way_down() {
    let plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .with("power.steps.drain_seconds", 12)
        .with("power.cut_load", false);
    let story = story(plan, &[("w-1", false), ("s-1", false)]).await;
    let without = story.whole_outage().await;
    story.wait_until_welcome(&["w-1", "s-1"]).await;
    story.admin_cordons("s-1");
    story.kube.with(|world| {
        world.add_deployment("default", "web", 45, "500");
        world.add_budget("default", "web", 0);
        world.add_deployment("default", "db", 5, "prompt");
        world.add_budget("default", "db", 5);
    });
    story.wait_for_pods(50).await;
    let with = story.whole_outage().await;
    let (empty, full) = (story.drain_of(without, "w-1").await, story.drain_of(with, "w-1").await);
    println!("drain of w-1: without pods {empty:?}; with 50, 5 of them kept by a budget, deadline 12 s: {full:?}");
    assert!(empty.starts_with("drain done"), "{empty}");
    assert!(
        full.starts_with("drain failed") && full.contains("5 pods are left") && full.contains("budget db needs 5"),
        "{full}"
    );
    // The node's own deadline was not needed.
    assert!(seconds(&full) < 12.0, "{full}");
    story.wait_until_welcome(&["w-1"]).await;
    assert!(story.is_cordoned("s-1") && story.mark("s-1").is_none());
    story.wait_for_pods(50).await;
}

#[tokio::test]
async fn an_api_that_is_dead_costs_its_bound_and_no_more() {
    let plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .with("power.steps.drain_seconds", 30)
        .with("power.cut_load", false);
    let story = story(plan, &[("w-1", false), ("s-1", false)]).await;
    // It takes connections, and says nothing; then it is not believed in any more.
    story.kube.fail(FaultRule::all("/", Fault::Hang));
    let outage = story.whole_outage().await;
    let (first, second) = (story.drain_of(outage, "w-1").await, story.drain_of(outage, "s-1").await);
    println!("a silent API: {first:?}, and in the next stage {second:?}");
    for told in [&first, &second] {
        assert!(told.starts_with("drain failed") && told.contains("K3s's API"), "{told}");
        // A bound of 5 s, against the step's 30.
        assert!(seconds(told) < 15.0, "{told}");
    }
    assert!(second.contains("within 1.5 s"), "{second}");
    story.kube.heal();
    story.wait_until_welcome(&["w-1", "s-1"]).await;
    let outage = story.whole_outage().await;
    let told = story.drain_of(outage, "w-1").await;
    assert!(told.starts_with("drain done"), "{told}");
    story.wait_until_welcome(&["w-1", "s-1"]).await;
}

#[tokio::test]
async fn a_drill_drains_and_lets_pods_in_again() {
    let story = story(plan(), &NODES).await;
    story.kube.with(|world| world.add_deployment("default", "web", 6, "prompt"));
    story.wait_for_pods(6).await;
    let outage = story.next_outage().await;
    story.rack.ctl().run("power drill w-1 --yes").await.unwrap();
    let told = story.drain_of(outage, "w-1").await;
    assert!(told.starts_with("drain done"), "{told}");
    story.wait_until_welcome(&["w-1", "w-2", "s-1", "m-1"]).await;
    let evicted = story.kube.requests().iter().any(|request| request.path.ends_with("/eviction"));
    assert!(evicted || story.kube.with(|world| world.pods_on("w-1")).is_empty());
}
