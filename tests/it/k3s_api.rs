//! The API of a cluster, as the controller speaks it: with the double, and with a real one where
//! `RACKHAVEN_TEST_KUBECONFIG` names an admin's kubeconfig.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_controller::k3s::api::{Api, ApiError, Cluster, Event, Evicted};
use rackhaven_tests::kube::{Fault, FaultRule};
use rackhaven_tests::{Kube, address, wait_until};
use tempfile::TempDir;

use crate::k3s_api_rules::Rules;

/// The cluster that a kubeconfig leads to.
pub(crate) fn reach(folder: &Path, name: &str, kubeconfig: &str) -> Arc<Cluster> {
    let path = folder.join(name);
    fs::write(&path, kubeconfig).unwrap();
    Api::new(path, None).cluster().unwrap().unwrap()
}

fn double(folder: &TempDir, kube: &Kube) -> Arc<Cluster> {
    reach(folder.path(), "controller.yaml", &kube.controller_kubeconfig().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_double_keeps_the_rules() {
    let kube = Kube::start().await.unwrap();
    kube.with(|world| {
        world.add_node("pi-1", true);
        world.add_daemon_set("kube-system", "svclb");
    });
    let folder = tempfile::tempdir().unwrap();
    Rules::of(&kube.admin_kubeconfig(), &folder).await.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_keeps_the_rules() {
    let Some(path) = std::env::var_os("RACKHAVEN_TEST_KUBECONFIG") else {
        println!("skipped: RACKHAVEN_TEST_KUBECONFIG is not set");
        return;
    };
    let path = fs::canonicalize(path).unwrap();
    let text = crate::k3s_api_rules::with_whole_paths(&fs::read_to_string(&path).unwrap(), path.parent().unwrap());
    let folder = tempfile::tempdir().unwrap();
    Rules::of(&text, &folder).await.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_evicted_with_the_grace_that_is_asked_for_and_no_other() {
    let kube = Kube::start().await.unwrap();
    kube.hold_clock();
    kube.with(|world| {
        world.add_node("pi-1", false);
        world.add_node("pi-2", false);
        world.add_deployment("default", "slow", 2, "grace");
        world.add_budget("default", "slow", 1);
        world.add_pod("default", "stuck", "pi-1", "never");
        world.add_mirror_pod("kube-vip", "pi-1");
    });
    kube.advance(Duration::from_secs(1));
    let folder = tempfile::tempdir().unwrap();
    let cluster = double(&folder, &kube);
    let slow: Vec<String> = ["pi-1", "pi-2"].map(|node| kube.with(|world| world.pods_on(node))).concat();
    let slow: Vec<&str> = slow.iter().filter_map(|pod| pod.strip_prefix("default/slow-")).collect();
    let name = |rest: &str| format!("slow-{rest}");
    let [first, second] = slow.as_slice() else { panic!("{slow:?}") };
    let evicted = cluster.evict("default", &name(first), None, Some(5)).await.unwrap();
    assert_eq!(evicted, Evicted::Leaving);
    let grace = |pod: &str| {
        let pod = kube.with(|world| world.object("pods", "default", pod));
        pod.map(|pod| pod["metadata"]["deletionGracePeriodSeconds"].clone())
    };
    assert_eq!(grace(&name(first)), Some(5.into()));
    let refused = cluster.evict("default", &name(second), None, None).await.unwrap_err();
    assert!(refused.is_budget(), "{refused}");
    assert_eq!(refused.code(), Some(429));
    kube.advance(Duration::from_secs(4));
    assert_eq!(grace(&name(first)), Some(5.into()));
    kube.advance(Duration::from_secs(2));
    assert_eq!(grace(&name(first)), None);
    // Another one has come and is ready: the budget allows it again.
    assert_eq!(cluster.evict("default", &name(second), None, None).await.unwrap(), Evicted::Leaving);
    assert_eq!(grace(&name(second)), Some(30.into()));

    cluster.evict("default", "stuck", None, None).await.unwrap();
    kube.advance(Duration::from_secs(3600));
    assert_eq!(grace("stuck"), Some(30.into()));
    // Not the one that is meant, then the one that is.
    let gone = cluster.delete_pod("default", "stuck", Some("another"), Some(0)).await.unwrap();
    assert_eq!(gone, Evicted::Gone);
    cluster.delete_pod("default", "stuck", None, Some(0)).await.unwrap();
    assert_eq!(grace("stuck"), None);
    assert_eq!(cluster.evict("default", "stuck", None, None).await.unwrap(), Evicted::Gone);
    // What a node runs by itself comes again.
    let uid = async || cluster.pod("kube-system", "kube-vip-pi-1").await.unwrap().unwrap().metadata.uid;
    let before = uid().await;
    cluster.evict("kube-system", "kube-vip-pi-1", None, None).await.unwrap();
    kube.advance(Duration::from_secs(60));
    assert_ne!(uid().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_passed_over_and_a_dead_cluster_is_named() {
    let addresses = [address::fresh(), address::fresh()];
    let mut kube = Kube::start_at(&addresses).await.unwrap();
    kube.with(|world| world.add_node("pi-1", true));
    let folder = tempfile::tempdir().unwrap();
    let cluster = double(&folder, &kube);
    assert_eq!(cluster.urls().collect::<Vec<_>>(), kube.urls());
    assert_eq!(cluster.nodes().await.unwrap().nodes.len(), 1);
    kube.close(0).await;
    assert_eq!(cluster.nodes().await.unwrap().nodes.len(), 1);
    kube.close(1).await;
    let ApiError::Unreachable { what, tried } = cluster.nodes().await.unwrap_err() else { panic!() };
    assert_eq!((what.as_str(), tried.len()), ("listing nodes", 2));
    // The one that answered last is tried first.
    assert!(tried[0].starts_with(&kube.urls()[1]) && tried[0].contains("refused"), "{tried:?}");
    kube.open(0).await.unwrap();
    cluster.check_ready().await.unwrap();
    kube.open(1).await.unwrap();

    // What a sick server says, and what a lost answer leaves behind.
    for (fault, says) in [(Fault::Status(500), "500 InternalError"), (Fault::Status(503), "503 ServiceUnavailable")] {
        kube.fail(FaultRule::all("/nodes", fault));
        let error = cluster.nodes().await.unwrap_err();
        assert!(error.is_passing() && error.to_string().contains(says), "{error}");
        kube.heal();
    }
    kube.fail(FaultRule { times: 1, ..FaultRule::all("/nodes/pi-1", Fault::Lost) });
    let patch = serde_json::json!({ "spec": { "unschedulable": true } });
    cluster.patch_node("pi-1", &patch).await.unwrap();
    assert!(kube.with(|world| world.is_cordoned("pi-1")));
    kube.fail(FaultRule { times: 1, ..FaultRule::all("/nodes", Fault::Hang) });
    assert_eq!(cluster.nodes().await.unwrap().nodes.len(), 1);
    kube.fail(FaultRule::all("/nodes", Fault::Slow(Duration::from_millis(300))));
    assert_eq!(cluster.nodes().await.unwrap().nodes.len(), 1);
    kube.heal();
    kube.fail(FaultRule::all("/nodes", Fault::Drop));
    let error = cluster.nodes().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_is_read_again_when_it_changes() {
    let (kube, other) = (Kube::start().await.unwrap(), Kube::start().await.unwrap());
    kube.with(|world| world.add_node("pi-1", true));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig.yaml");
    let api = Api::new(path.clone(), None);
    assert!(api.cluster().unwrap().is_none());
    fs::write(&path, kube.controller_kubeconfig().unwrap()).unwrap();
    let cluster = api.cluster().unwrap().unwrap();
    cluster.check_ready().await.unwrap();
    assert!(Arc::ptr_eq(&cluster, &api.cluster().unwrap().unwrap()));
    // A token that is not known there; then somebody else's authority.
    fs::write(&path, kube.kubeconfig("nobody")).unwrap();
    let error = api.cluster().unwrap().unwrap().nodes().await.unwrap_err();
    assert_eq!(error.code(), Some(401), "{error}");
    let stranger = kube.admin_kubeconfig().replace(&kube.urls()[0], &other.urls()[0]);
    fs::write(&path, stranger).unwrap();
    let error = api.cluster().unwrap().unwrap().nodes().await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    assert!(other.requests().is_empty());
    fs::write(&path, "nonsense").unwrap();
    let error = api.cluster().unwrap_err().to_string();
    assert!(error.starts_with(&format!("the kubeconfig {}: ", path.display())), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(api.cluster().unwrap().is_none());
    api.configure(Some(path));
    assert!(api.cluster().unwrap_err().to_string().contains("No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_happens_and_when_it_is_too_old() {
    let kube = Kube::start().await.unwrap();
    kube.with(|world| world.add_node("pi-1", true));
    let folder = tempfile::tempdir().unwrap();
    let cluster = double(&folder, &kube);
    let list = cluster.nodes().await.unwrap();
    let mut watch = cluster.watch_nodes(&list.revision).await.unwrap();
    kube.with(|world| world.add_node("pi-2", false));
    let added = watch.next().await.unwrap().unwrap();
    assert!(matches!(&added, Event::Added(node) if node["metadata"]["name"] == "pi-2"), "{added:?}");
    kube.with(|world| world.erase("nodes", "", "pi-1"));
    while !matches!(watch.next().await.unwrap().unwrap(), Event::Deleted(_)) {}
    kube.with(|world| world.compact());
    let mut old = cluster.watch_nodes(&list.revision).await.unwrap();
    let error = old.next().await.unwrap_err();
    assert!(error.is_expired(), "{error}");
    // Its server dies.
    let mut kube = kube;
    kube.close(0).await;
    let ended = watch.next().await;
    assert!(matches!(ended, Err(ApiError::Unreachable { .. }) | Ok(None)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_out_of_service_lets_go_of_its_pods() {
    let kube = Kube::start().await.unwrap();
    kube.with(|world| {
        world.add_node("pi-1", false);
        world.add_pod("default", "db-0", "pi-1", "never");
    });
    let folder = tempfile::tempdir().unwrap();
    let cluster = double(&folder, &kube);
    wait_until("the pod to run", async || {
        let pod = cluster.pod("default", "db-0").await.unwrap().unwrap();
        pod.status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
    })
    .await
    .unwrap();
    cluster.evict("default", "db-0", None, None).await.unwrap();
    kube.with(|world| world.set_node_ready("pi-1", "Unknown", false));
    let taint = serde_json::json!({ "spec": { "taints": [{ "key": "node.kubernetes.io/out-of-service",
        "value": "nodeshutdown", "effect": "NoExecute" }] } });
    cluster.patch_node("pi-1", &taint).await.unwrap();
    wait_until("the pod to be gone", async || cluster.pod("default", "db-0").await.unwrap().is_none()).await.unwrap();
}
