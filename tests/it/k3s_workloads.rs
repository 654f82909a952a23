//! Workloads from the terminal: ctl, the controller, and the double of the API.

use std::fs;
use std::path::PathBuf;

use rackhaven_proto::v1::AuditRecord;
use rackhaven_tests::kube::{Fault, FaultRule};
use rackhaven_tests::{Ctl, Fleet, Kube, wait_until};

/// A fleet whose controller knows a cluster of two nodes.
struct Cluster {
    fleet: Fleet,
    kube: Kube,
    ctl: Ctl,
}

impl Cluster {
    async fn start() -> Self {
        let kube = Kube::start().await.unwrap();
        kube.with(|world| {
            world.add_node("master", true);
            world.add_node("pi-1", false);
        });
        let mut fleet = Fleet::prepare().unwrap();
        let kubeconfig = fleet.folder().join("kubeconfig.yaml");
        fs::write(&kubeconfig, kube.controller_kubeconfig().unwrap()).unwrap();
        fleet.settings.set("k3s.kubeconfig", serde_json::Value::from(kubeconfig.display().to_string()));
        fleet.init().await.unwrap();
        fleet.start_controller().await.unwrap();
        let ctl = fleet.ctl();
        Self { fleet, kube, ctl }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.fleet.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    async fn user(&self, name: &str, role: &str) -> Ctl {
        let home = self.fleet.folder().join(name);
        self.ctl.another(name, role, &self.fleet.endpoint(), &home).await.unwrap()
    }

    async fn audited(&self, action: &str, target: &str, outcome: &str) {
        let is_it = |record: &AuditRecord| {
            record.action == action && record.target == target && record.outcome.starts_with(outcome)
        };
        self.fleet.wait_for_audit(&format!("{action} {target}"), is_it).await.unwrap();
    }
}

fn deployment(name: &str, replicas: u32, image: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
         containers:\n      - {{name: {name}, image: \"{image}\"}}\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_made_seen_changed_and_removed() {
    let cluster = Cluster::start().await;
    let ctl = &cluster.ctl;
    let web = deployment("web", 2, "registry.lan/web:1", "");
    let all = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n---\n{web}---\napiVersion: v1\nkind: ConfigMap\n\
         metadata: {{name: settings, namespace: shop}}\ndata: {{mode: \"0644\"}}\n"
    );
    let file = cluster.file("all.yaml", &all);
    let apply = format!("k3s apply -f {}", file.display());
    let said = ctl.ok(&apply).await.unwrap();
    assert_eq!(said, "namespace/shop created\ndeployment.apps/web created\nconfigmap/settings created\n");
    assert_eq!(
        ctl.ok("k3s rollout status deployment/web -n shop").await.unwrap().lines().last(),
        Some("deployment \"web\" successfully rolled out")
    );
    let said = ctl.ok(&apply).await.unwrap();
    assert_eq!(said, "namespace/shop unchanged\ndeployment.apps/web unchanged\nconfigmap/settings unchanged\n");

    // As kubectl shows it.
    let seen = ctl.ok("k3s get deploy -n shop").await.unwrap();
    let lines: Vec<Vec<&str>> = seen.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(lines[1][..4], ["web", "2/2", "2", "2"]);
    let seen = ctl.ok("k3s get pods -A -o wide").await.unwrap();
    assert!(seen.starts_with("NAMESPACE  "), "{seen}");
    assert!(seen.lines().filter(|line| line.starts_with("shop") && line.contains("Running")).count() == 2, "{seen}");
    assert!(seen.contains("pi-1"), "{seen}");
    let seen = ctl.ok("k3s get nodes").await.unwrap();
    assert!(seen.contains("control-plane") && seen.contains("v1.36.0+k3s1"), "{seen}");
    // The newest word comes last.
    cluster.kube.with(|world| {
        world.add_event(("shop", "web-1"), "BackOff", "back-off pulling the image", 30);
        world.add_event(("shop", "web-0"), "FailedMount", "no volume", 300);
    });
    let seen = ctl.ok("k3s get events -n shop").await.unwrap();
    let lines: Vec<Vec<&str>> = seen.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    assert_eq!(
        (lines[1][..4].join(" "), lines[2][2..].join(" ")),
        ("5m Warning FailedMount pod/web-0".to_owned(), "BackOff pod/web-1 back-off pulling the image".to_owned(),)
    );
    let none = ctl.run("k3s get services").await.unwrap();
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("No resources found in default namespace."), "{}", none.err);
    let object = ctl.json("k3s get cm/settings -n shop").await.unwrap();
    assert_eq!((object["kind"].as_str(), object["data"]["mode"].as_str()), (Some("ConfigMap"), Some("0644")));
    assert!(object["metadata"].get("managedFields").is_none());
    let list = ctl.json("k3s get pods -n shop -l app=web").await.unwrap();
    assert_eq!((list["kind"].as_str(), list["items"].as_array().unwrap().len()), (Some("List"), 2));
    assert_eq!(list["items"][0]["kind"], "Pod");
    let yaml = ctl.ok("k3s get deploy/web -n shop -o yaml").await.unwrap();
    assert!(yaml.contains("kind: Deployment\n") && yaml.contains("image: registry.lan/web:1"), "{yaml}");
    let missing = ctl.fails("k3s get pod nothing -n shop", 1).await.unwrap();
    assert!(missing.err.contains("pods \"nothing\" not found"), "{}", missing.err);

    // Who scales by hand holds the number.
    assert_eq!(ctl.ok("k3s scale deployment/web --replicas 3 -n shop").await.unwrap(), "deployment.apps/web scaled\n");
    let conflict = ctl.fails(&apply, 1).await.unwrap();
    assert_eq!(conflict.out, "namespace/shop unchanged\nconfigmap/settings unchanged\n");
    assert!(conflict.err.contains("deployment.apps/web: "), "{}", conflict.err);
    for part in ["conflict with \"rackhaven\" with subresource \"scale\"", ".spec.replicas", "--force-conflicts"] {
        assert!(conflict.err.contains(part), "{}", conflict.err);
    }
    let tried = ctl.ok(&format!("{apply} --force-conflicts --dry-run")).await.unwrap();
    assert!(tried.contains("deployment.apps/web configured (dry run)\n"), "{tried}");
    let replicas =
        || cluster.kube.with(|world| world.object("deployments", "shop", "web").unwrap()["spec"]["replicas"].clone());
    assert_eq!(replicas(), 3);
    let forced = ctl.json(&format!("{apply} --force-conflicts")).await.unwrap();
    assert_eq!(forced["applied"][1]["outcome"], "configured");
    assert_eq!(replicas(), 2);

    // Its forms, and the way back.
    let newer = cluster.file("newer.yaml", &deployment("web", 2, "registry.lan/web:2", ""));
    ctl.ok(&format!("k3s apply -f {}", newer.display())).await.unwrap();
    ctl.ok("k3s rollout status deployment/web -n shop").await.unwrap();
    let image = async || {
        let web = ctl.json("k3s get deploy web -n shop").await.unwrap();
        web["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(image().await, "registry.lan/web:2");
    let history = ctl.json("k3s rollout history deployment/web -n shop").await.unwrap();
    assert_eq!(history["revisions"][0]["images"][0], "registry.lan/web:1");
    assert_eq!(ctl.ok("k3s rollout undo deployment/web -n shop").await.unwrap(), "deployment.apps/web rolled back\n");
    assert_eq!(image().await, "registry.lan/web:1");
    let refused = ctl.fails("k3s rollout undo deployment/web -n shop --to-revision 77", 1).await.unwrap();
    assert!(refused.err.contains("unable to find specified revision 77 in history"), "{}", refused.err);
    ctl.ok("k3s rollout status deployment/web -n shop").await.unwrap();
    let pods = || cluster.kube.with(|world| [world.pods_on("master"), world.pods_on("pi-1")].concat());
    let before = pods();
    ctl.ok("k3s rollout restart deployment/web -n shop").await.unwrap();
    ctl.ok("k3s rollout status deployment/web -n shop").await.unwrap();
    wait_until("other pods", async || pods().len() == 2 && pods().iter().all(|pod| !before.contains(pod)))
        .await
        .unwrap();

    let unasked = ctl.fails("k3s delete deployment/web -n shop", 2).await.unwrap();
    assert!(unasked.err.contains("add --yes"), "{}", unasked.err);
    assert_eq!(ctl.ok("k3s delete deployment/web -n shop --yes").await.unwrap(), "deployment.apps/web deleted\n");
    wait_until("its pods to be gone", async || pods().is_empty()).await.unwrap();
    ctl.fails("k3s delete deployment/web -n shop --yes", 1).await.unwrap();
    cluster.audited("K3sWorkloads/Delete", "deployment.apps/web in shop", "ok").await;
    cluster.audited("K3sWorkloads/Scale", "deployment.apps/web in shop to 3", "ok").await;
    cluster.audited("K3sWorkloads/Rollout", "deployment.apps/web in shop: undo", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_what_and_what_is_not_taken() {
    let cluster = Cluster::start().await;
    cluster.kube.with(|world| {
        world.put("namespaces", serde_json::json!({ "metadata": { "name": "shop" }, "status": { "phase": "Active" } }));
        world.add_deployment("kube-system", "coredns", 1, "prompt");
    });
    let (viewer, operator) = (cluster.user("vera", "viewer").await, cluster.user("olga", "operator").await);
    let plain = cluster.file("plain.yaml", &deployment("web", 1, "x:1", ""));
    let host = "      volumes:\n      - {name: root, hostPath: {path: /}}\n";
    let rooted = cluster.file("rooted.yaml", &deployment("web", 1, "x:1", host));
    let space = cluster.file("space.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n");
    let apply = |path: &PathBuf| format!("k3s apply -f {}", path.display());
    viewer.ok("k3s get pods -A").await.unwrap();
    for line in [apply(&plain), "k3s scale deploy/web --replicas 2".to_owned(), "k3s logs web".to_owned()] {
        let refused = viewer.fails(&line, 5).await.unwrap();
        assert!(refused.err.contains("needs the role operator; vera is viewer"), "{}", refused.err);
    }
    operator.ok(&apply(&plain)).await.unwrap();
    for (line, why) in [
        (apply(&rooted), "applying a Deployment that mounts what is not its own: hostPath needs the role admin"),
        (apply(&space), "applying Namespace needs the role admin; you are operator"),
        ("k3s delete deploy/coredns -n kube-system --yes".to_owned(), "deleting a Deployment in kube-system needs"),
        ("k3s delete ns/shop --yes".to_owned(), "deleting a Namespace needs the role admin"),
    ] {
        let refused = operator.fails(&line, 5).await.unwrap();
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    cluster.audited("K3sWorkloads/Apply", "deployment.apps/web in shop", "denied: ").await;
    cluster.ctl.ok(&apply(&rooted)).await.unwrap();
    cluster.ctl.ok(&apply(&space)).await.unwrap();

    // Nothing of a file is done if one thing in it is not taken.
    let before = cluster.kube.requests().iter().filter(|request| request.method == "PATCH").count();
    for (name, text, code, why) in [
        ("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", 1, "Secrets are not spoken of here"),
        ("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n", 1, "Job/a: Job is none of the kinds"),
        ("unnamed.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a}\n", 1, "it has no name"),
        ("broken.yaml", "kind: [", 2, "broken.yaml: "),
        ("empty.yaml", "# nothing\n", 2, "there are no objects"),
    ] {
        let good = deployment("other", 1, "x:1", "");
        let text = if code == 1 { format!("{good}---\n{text}") } else { text.to_owned() };
        let refused = cluster.ctl.fails(&apply(&cluster.file(name, &text)), code).await.unwrap();
        assert!(refused.err.contains(why), "{name}: {}", refused.err);
    }
    let after = cluster.kube.requests().iter().filter(|request| request.method == "PATCH").count();
    assert_eq!(before, after);
    // What the API does not know, it refuses; the rest is done.
    let typo = deployment("typo", 1, "x:1", "      dnsPolizy: None\n");
    let two = cluster.file("two.yaml", &format!("{typo}---\n{}", deployment("other", 1, "x:1", "")));
    let refused = cluster.ctl.fails(&apply(&two), 1).await.unwrap();
    assert!(refused.err.contains("dnsPolizy: field not declared in schema"), "{}", refused.err);
    assert_eq!(refused.out, "deployment.apps/other created\n");
    for (line, code, why) in [
        ("k3s get secrets", 1, "Secrets are not spoken of here"),
        ("k3s get cronjobs", 1, "is none of the kinds that are spoken of here"),
        ("k3s get pod ../nodes", 1, "is not a name"),
        ("k3s delete node/pi-1 --yes", 1, "ctl k3s leave"),
        ("k3s scale pod/web --replicas 2", 1, "only of Deployment, StatefulSet"),
        ("k3s scale web --replicas 2", 2, "is not KIND/NAME"),
    ] {
        let refused = cluster.ctl.fails(line, code).await.unwrap();
        assert!(refused.err.contains(why), "{line}: {}", refused.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_log_is_read_followed_and_harmless() {
    let cluster = Cluster::start().await;
    let ctl = &cluster.ctl;
    let write = |lines: &str| cluster.kube.with(|world| world.write_log("default", "web", "web", lines));
    cluster.kube.with(|world| world.add_pod("default", "web", "pi-1", "prompt"));
    wait_until("the pod to run", async || ctl.run("k3s logs web").await.is_ok_and(|it| it.code == Some(0)))
        .await
        .unwrap();
    let long = "x".repeat(100_000);
    write(&format!("one\n\u{1b}[2Jtwo \u{202e}\ttabbed\u{7}\n{long}\nfour\n"));
    let said = ctl.ok("k3s logs web").await.unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["one", "\u{fffd}[2Jtwo \u{fffd} tabbed\u{fffd}"]);
    assert!(lines[2].len() < 20_000 && lines[2].ends_with("x…"), "{}", lines[2].len());
    assert_eq!(lines[3..], ["four"]);
    assert_eq!(ctl.ok("k3s logs pod/web --tail 1").await.unwrap(), "four\n");
    let rows = ctl.json_lines("k3s logs web --tail 1").await.unwrap();
    assert_eq!(rows, [serde_json::json!({ "pod": "web", "message": "four" })]);
    let previous = ctl.fails("k3s logs web -p", 1).await.unwrap();
    assert!(previous.err.contains("previous terminated container"), "{}", previous.err);
    let other = ctl.fails("k3s logs web -c db", 1).await.unwrap();
    assert!(other.err.contains("container db is not valid for pod web"), "{}", other.err);
    cluster.kube.with(|world| world.write_previous_log("default", "web", "web", "crashed\n"));
    assert_eq!(ctl.ok("k3s logs web -p").await.unwrap(), "crashed\n");

    let mut follower = ctl.start("k3s logs web -f --tail 1", cluster.fleet.folder()).unwrap();
    wait_until("what there is", async || follower.output() == "four\n").await.unwrap();
    write("five\n");
    wait_until("what comes", async || follower.output() == "four\nfive\n").await.unwrap();
    cluster.kube.with(|world| world.erase("pods", "default", "web"));
    assert!(follower.ended().await.unwrap().success());
    ctl.fails("k3s logs web", 1).await.unwrap();
    cluster.audited("K3sWorkloads/ReadLogs", "pod/web in default", "ok").await;

    cluster.kube.with(|world| world.add_deployment("default", "api", 3, "prompt"));
    ctl.ok("k3s rollout status deploy/api").await.unwrap();
    let one = ctl.run("k3s logs deploy/api").await.unwrap();
    assert!(one.code == Some(0) && one.err.contains("Found 3 pods, using pod/api-"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_are_listed_and_watched() {
    const COUNT: usize = 3000;
    let cluster = Cluster::start().await;
    cluster.kube.hold_clock();
    cluster.kube.with(|world| {
        for number in 0..COUNT {
            world.add_pod("default", &format!("pod-{number}"), "pi-1", "prompt");
        }
    });
    let ctl = &cluster.ctl;
    assert_eq!(ctl.ok("k3s get pods").await.unwrap().lines().count(), COUNT + 1);
    assert_eq!(ctl.json("k3s get pods -A").await.unwrap()["items"].as_array().unwrap().len(), COUNT);
    let pages = cluster.kube.requests().iter().filter(|it| it.path == "/api/v1/namespaces/default/pods").count();
    assert!(pages > 5, "{pages}");

    let mut watcher = ctl.start("k3s get pods -w -l app=late", cluster.fleet.folder()).unwrap();
    let watched = || cluster.kube.requests().iter().filter(|it| it.parameter("watch") == "true").count();
    wait_until("the watch", async || watched() == 1).await.unwrap();
    cluster.kube.with(|world| world.add_pod("default", "late", "pi-1", "prompt"));
    wait_until("the pod", async || watcher.output().contains("late ")).await.unwrap();
    cluster.kube.with(|world| world.erase("pods", "default", "late"));
    wait_until("its end", async || watcher.output().contains("late (deleted)")).await.unwrap();
    watcher.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_or_with_a_dead_one_it_says_so() {
    let fleet = Fleet::start().await.unwrap();
    let none = fleet.ctl().fails("k3s get pods", 1).await.unwrap();
    assert!(none.err.contains("ctl k3s init"), "{}", none.err);

    let mut cluster = Cluster::start().await;
    let url = cluster.kube.urls()[0].clone();
    cluster.kube.with(|world| world.erase("clusterrolebindings", "", "rackhaven-controller"));
    let refused = cluster.ctl.fails("k3s get pods", 1).await.unwrap();
    assert!(refused.err.contains("the controller has no right to that in the cluster"), "{}", refused.err);
    assert!(refused.err.contains("cannot list resource \"pods\""), "{}", refused.err);
    cluster.kube.fail(FaultRule::all("/pods", Fault::Status(500)));
    let sick = cluster.ctl.fails("k3s get pods", 1).await.unwrap();
    assert!(sick.err.contains("500 InternalError"), "{}", sick.err);
    cluster.kube.heal();
    cluster.kube.fail(FaultRule::all("/pods", Fault::Hang));
    let hung = cluster.ctl.fails("k3s get pod web", 1).await.unwrap();
    assert!(hung.err.contains(&url) && hung.err.contains("no answer within 8 s"), "{}", hung.err);
    cluster.kube.close(0).await;
    let dead = cluster.ctl.fails("k3s get pods", 1).await.unwrap();
    assert!(dead.err.contains(&url) && dead.err.contains("refused"), "{}", dead.err);
    // The controller goes on, and starts with a dead cluster.
    cluster.ctl.ok("status").await.unwrap();
    cluster.fleet.kill_controller().await.unwrap();
    cluster.fleet.start_controller().await.unwrap();
    cluster.ctl.ok("status").await.unwrap();
}
