//! Nodes of K3s are cordoned, drained and let in again by hand, over the API's double.

use std::time::Duration;

use rackhaven_tests::kube::{Fault, FaultRule, Kube, World};
use rackhaven_tests::rack::now;
use rackhaven_tests::{Ctl, Fleet, wait_until};
use serde_json::Value;

const BY: &str = "rackhaven.io/cordoned-by";

/// A cluster of two nodes, a controller that knows it by the rights of its own manifest, and its admin.
struct Story {
    kube: Kube,
    fleet: Fleet,
    ctl: Ctl,
}

async fn story() -> Story {
    let kube = Kube::start().await.unwrap();
    kube.with(|world| {
        world.add_node("pi-1", false);
        world.add_node("pi-2", false);
    });
    let mut fleet = Fleet::prepare().unwrap();
    let config = fleet.folder().join("kubeconfig.yaml");
    std::fs::write(&config, kube.controller_kubeconfig().unwrap()).unwrap();
    fleet.settings.set("k3s.kubeconfig", Value::from(config.to_str().unwrap()));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let ctl = fleet.ctl();
    wait_until("the controller to know the cluster", async || {
        let status = ctl.json("k3s status").await.unwrap();
        status["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
    })
    .await
    .unwrap();
    Story { kube, fleet, ctl }
}

/// Fills pi-1, with pi-2 closed meanwhile.
async fn fill(kube: &Kube, pods: usize, fill: impl FnOnce(&mut World)) {
    let close = |closed: bool| {
        kube.with(|world| {
            world.change_object("nodes", "", "pi-2", |node| node["spec"]["unschedulable"] = closed.into());
        });
    };
    close(true);
    kube.with(fill);
    wait_until("the pods to run", async || {
        let running = |pod: &&Value| pod["spec"]["nodeName"] == "pi-1" && pod["status"]["phase"] == "Running";
        kube.with(|world| world.objects("pods").iter().filter(running).count()) == pods
    })
    .await
    .unwrap();
    close(false);
}

fn annotation(kube: &Kube, node: &str) -> Value {
    kube.with(|world| world.object("nodes", "", node).unwrap()["metadata"]["annotations"][BY].clone())
}

/// Pods on pi-1 without those that stay in any case.
fn movable(kube: &Kube) -> Vec<String> {
    let mut pods = kube.with(|world| world.pods_on("pi-1"));
    pods.retain(|pod| !pod.contains("/agent-") && !pod.contains("/mirror-"));
    pods
}

/// That no pod was taken by another way than its eviction.
fn only_evictions(kube: &Kube) {
    let deleted =
        kube.requests().into_iter().find(|request| request.method == "DELETE" && request.path.contains("/pods"));
    assert!(deleted.is_none(), "{deleted:?}");
}

#[tokio::test]
async fn fifty_pods_go_as_their_budgets_allow_and_what_cannot_is_told_at_the_deadline() {
    let story = story().await;
    let (kube, ctl) = (&story.kube, &story.ctl);
    fill(kube, 52, |world| {
        world.add_deployment("default", "web", 30, "prompt");
        world.add_budget("default", "web", 27);
        world.add_deployment("default", "slow", 15, "1500");
        world.add_deployment("default", "db", 5, "prompt");
        world.add_budget("default", "db", 5);
        world.add_daemon_set("kube-system", "agent");
        world.add_mirror_pod("mirror", "pi-1");
    })
    .await;
    let begun = now();
    let run = ctl.run("k3s drain pi-1 --within 15s -o json").await.unwrap();
    let took = begun.elapsed();
    assert_eq!(run.code, Some(1), "{run:?}");
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = &lines.last().unwrap()["ended"][0];
    assert_eq!((&ended["node"], &ended["result"]), (&"pi-1".into(), &"failed".into()));
    let text = ended["text"].as_str().unwrap();
    assert!(text.starts_with("after 15 s 5 pods are left: default/db-"), "{text}");
    assert!(text.contains("disruption budget db needs 5 healthy pods and has 5 currently"), "{text}");
    assert_eq!(movable(kube).len(), 5, "{:?}", movable(kube));
    assert_eq!(lines[0]["step"]["name"], "cordon");
    let far = |line: &Value| (line["step"]["done_count"].as_u64(), line["step"]["total_count"].as_u64());
    assert!(lines.iter().any(|line| far(line) == (Some(45), Some(50))), "{}", run.out);
    only_evictions(kube);
    println!("50 pods, 45 that may go, deadline 15 s: {:.1} s", took.as_secs_f64());

    // It stays cordoned until somebody lets pods in again.
    let status = ctl.json("k3s status").await.unwrap();
    // Those of the DaemonSet and of the node's own files are counted, too.
    assert_eq!(status["nodes"][0]["pods"], 7, "{status}");
    let by = status["nodes"][0]["cordoned_by"].as_str().unwrap().to_owned();
    assert!(by.starts_with("user/") && kube.with(|world| world.is_cordoned("pi-1")), "{by}");
    assert_eq!(ctl.run("k3s uncordon pi-1").await.unwrap().code, Some(0));
    assert!(!kube.with(|world| world.is_cordoned("pi-1")) && annotation(kube, "pi-1").is_null());
}

#[tokio::test]
async fn a_drain_ends_as_soon_as_all_have_gone() {
    let story = story().await;
    let (kube, ctl) = (&story.kube, &story.ctl);
    kube.with(|world| world.set_pod_start_ms(100));
    fill(kube, 50, |world| {
        world.add_deployment("default", "web", 40, "200");
        world.add_budget("default", "web", "80%");
        world.add_deployment("default", "job", 10, "prompt");
    })
    .await;
    let begun = now();
    let ended = ctl.ok("k3s drain pi-1").await.unwrap();
    println!("50 pods, at most 8 of 40 away at a time: {:.1} s", begun.elapsed().as_secs_f64());
    assert!(ended.contains("done") && ended.contains("50 pods have gone"), "{ended}");
    assert!(movable(kube).is_empty());
    only_evictions(kube);
}

#[tokio::test]
async fn pods_that_would_be_lost_want_leave() {
    let story = story().await;
    let (kube, ctl) = (&story.kube, &story.ctl);
    fill(kube, 3, |world| {
        world.add_deployment("default", "web", 1, "prompt");
        world.add_pod("default", "alone", "pi-1", "prompt");
        let mut pod = world.object("pods", "default", "alone").unwrap();
        pod["metadata"] = serde_json::json!({ "name": "scratch", "namespace": "default" });
        pod["spec"]["volumes"] = serde_json::json!([{ "name": "tmp", "emptyDir": {} }]);
        world.put("pods", pod);
    })
    .await;
    let refused = ctl.fails("k3s drain pi-1", 1).await.unwrap().out;
    assert!(refused.contains("nothing was evicted") && refused.contains("--force"), "{refused}");
    assert_eq!(movable(kube).len(), 3);
    let refused = ctl.fails("k3s drain pi-1 --force", 1).await.unwrap().out;
    assert!(refused.contains("default/scratch (loses the data of an emptyDir"), "{refused}");
    ctl.ok("k3s drain pi-1 --force --delete-emptydir-data --grace-period 2s").await.unwrap();
    assert!(movable(kube).is_empty());
    let bodies = kube.requests().into_iter().filter(|request| request.path.ends_with("/eviction"));
    assert!(bodies.into_iter().all(|it| String::from_utf8_lossy(&it.body).contains("\"gracePeriodSeconds\":2")));
}

#[tokio::test]
async fn cordons_of_others_and_strange_answers() {
    let story = story().await;
    let (kube, ctl) = (&story.kube, &story.ctl);
    // An admin's cordon is not taken over, and anybody's can be ended by hand.
    kube.with(|world| world.change_object("nodes", "", "pi-2", |node| node["spec"]["unschedulable"] = true.into()));
    let told = ctl.ok("k3s cordon pi-1 pi-2").await.unwrap();
    assert!(told.contains("somebody else has cordoned it"), "{told}");
    assert!(annotation(kube, "pi-1").is_string() && annotation(kube, "pi-2").is_null());
    ctl.ok("k3s uncordon pi-1 pi-2").await.unwrap();
    assert!(!kube.with(|world| world.is_cordoned("pi-1") || world.is_cordoned("pi-2")));
    let again = ctl.ok("k3s uncordon pi-1").await.unwrap();
    assert!(again.contains("unchanged"), "{again}");

    // What stands on a node that takes pods all the same is taken off.
    ctl.ok("k3s cordon pi-1").await.unwrap();
    kube.with(|world| world.change_object("nodes", "", "pi-1", |node| node["spec"]["unschedulable"] = false.into()));
    wait_until("the mark to go", async || annotation(kube, "pi-1").is_null()).await.unwrap();

    let missing = ctl.fails("k3s drain pi-9", 1).await.unwrap();
    assert!(missing.err.contains("K3s has no node \"pi-9\""), "{}", missing.err);
    // Answers that get lost, and refusals that pass.
    fill(kube, 6, |world| world.add_deployment("default", "web", 6, "prompt")).await;
    for fault in [Fault::Status(500), Fault::Lost, Fault::Drop] {
        kube.fail(FaultRule { method: "POST".to_owned(), path: "/eviction".to_owned(), fault, times: 2 });
    }
    ctl.ok("k3s drain pi-1").await.unwrap();
    assert!(movable(kube).is_empty());
    kube.heal();
    ctl.ok("k3s uncordon pi-1").await.unwrap();
}

#[tokio::test]
async fn whoever_leaves_ends_the_drain_and_viewers_only_look() {
    let Story { kube, ctl, fleet } = story().await;
    fill(&kube, 2, |world| {
        world.add_deployment("default", "db", 2, "prompt");
        world.add_budget("default", "db", 2);
    })
    .await;
    let mut drain = ctl.start("k3s drain pi-1 --within 10m", fleet.folder()).unwrap();
    let evictions = || kube.requests().iter().filter(|request| request.path.ends_with("/eviction")).count();
    wait_until("an eviction", async || evictions() > 0).await.unwrap();
    drain.kill().await.unwrap();
    let lists = || kube.requests().iter().filter(|request| request.parameter("fieldSelector").contains("pi-1")).count();
    wait_until("the drain to end", async || {
        let before = lists();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        lists() == before
    })
    .await
    .unwrap();
    assert!(kube.with(|world| world.is_cordoned("pi-1")));
    let viewer = ctl.another("vera", "viewer", &fleet.endpoint(), &fleet.folder().join("vera")).await.unwrap();
    viewer.ok("k3s status").await.unwrap();
    for line in ["k3s cordon pi-1", "k3s uncordon pi-1", "k3s drain pi-1"] {
        viewer.fails(line, 5).await.unwrap();
    }
    let drained = |record: &rackhaven_proto::v1::AuditRecord| record.action == "K3s/Drain" && record.target == "pi-1";
    fleet.wait_for_audit("the drain", drained).await.unwrap();
}
