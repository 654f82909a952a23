//! What the controller relies on, asked of an API server: the double's, or a real one that may have nodes and controllers
//! or neither.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Method;
use rackhaven_controller::k3s::api::{Call, Cluster, Event, Place, Select};
use rackhaven_tests::kube::access_manifest;
use rackhaven_tests::{wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::k3s_api::reach;

/// For what comes only where there are controllers.
const SOON: Duration = Duration::from_secs(15);

/// A server that is asked.
pub(crate) struct Rules {
    admin: Arc<Cluster>,
    /// As the controller: by the service account of Rackhaven's own manifest.
    controller: Arc<Cluster>,
    namespace: String,
    node: String,
}

fn place<'a>(api_version: &'a str, plural: &'a str, namespace: Option<&'a str>) -> Place<'a> {
    Place { api_version, plural, namespace }
}

const NODES: Place<'static> = Place { api_version: "v1", plural: "nodes", namespace: None };

/// The place of an object of the manifest.
fn place_of(object: &Value) -> (String, String, Option<String>) {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
    (object["apiVersion"].as_str().unwrap().to_owned(), plural, namespace)
}

/// A kubeconfig whose files are found from anywhere.
pub(crate) fn with_whole_paths(kubeconfig: &str, folder: &Path) -> String {
    let mut file: Value = serde_saphyr::from_str(kubeconfig).unwrap();
    for (list, inner) in [("clusters", "cluster"), ("users", "user")] {
        for entry in file[list].as_array_mut().into_iter().flatten() {
            for key in ["certificate-authority", "client-certificate", "client-key", "tokenFile"] {
                if let Some(path) = entry[inner].get_mut(key) {
                    *path = folder.join(path.as_str().unwrap()).display().to_string().into();
                }
            }
        }
    }
    file.to_string()
}

/// The same kubeconfig for the holder of a token.
fn with_token(kubeconfig: &str, token: &str) -> String {
    let mut file: Value = serde_saphyr::from_str(kubeconfig).unwrap();
    for user in file["users"].as_array_mut().into_iter().flatten() {
        user["user"] = json!({ "token": token });
    }
    file.to_string()
}

impl Rules {
    /// By an admin's kubeconfig.
    pub(crate) async fn of(kubeconfig: &str, folder: &TempDir) -> Self {
        let admin = reach(folder.path(), "admin.yaml", kubeconfig);
        println!("asking {:?}, {}", admin.urls().collect::<Vec<_>>(), admin.version().await.unwrap());
        for object in access_manifest().unwrap() {
            let (api_version, plural, namespace) = place_of(&object);
            let name = object["metadata"]["name"].as_str().unwrap();
            let place = place(&api_version, &plural, namespace.as_deref());
            admin.apply(place, name, &object, true, false).await.unwrap();
        }
        let token = service_token(&admin).await;
        let controller = reach(folder.path(), "controller.yaml", &with_token(kubeconfig, &token));
        let number = std::process::id();
        Self { admin, controller, namespace: format!("rackhaven-{number}"), node: format!("rackhaven-test-{number}") }
    }

    fn here<'a>(&'a self, api_version: &'a str, plural: &'a str) -> Place<'a> {
        place(api_version, plural, Some(&self.namespace))
    }

    /// All rules; then nothing of it is left, however it went.
    pub(crate) async fn check(&self) {
        let checked = AssertUnwindSafe(self.check_all()).catch_unwind().await;
        if let Err(failure) = checked {
            let (_, _) = tokio::join!(
                self.admin.delete_node(&self.node),
                self.admin.delete(place("v1", "namespaces", None), &self.namespace, None)
            );
            std::panic::resume_unwind(failure);
        }
    }

    async fn check_all(&self) {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.namespace } });
        let made = self.controller.apply(place("v1", "namespaces", None), &self.namespace, &object, false, false);
        made.await.unwrap();
        self.make_node().await;
        self.check_nodes().await;
        self.check_rights().await;
        self.check_apply().await;
        self.check_pages().await;
        self.check_deployment().await;
        self.check_evictions().await;
        assert!(self.controller.delete_node(&self.node).await.unwrap());
        assert!(!self.controller.delete_node(&self.node).await.unwrap());
        assert!(self.controller.delete(place("v1", "namespaces", None), &self.namespace, None).await.unwrap());
    }

    /// A node that nobody runs.
    async fn make_node(&self) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node },
            "spec": { "unschedulable": true } });
        let call = Call::of(Method::POST, "making a node", NODES, "").body("application/json", &node);
        let _: Value = self.admin.ask(call).await.unwrap();
    }

    async fn check_nodes(&self) {
        let list = self.controller.nodes().await.unwrap();
        assert!(list.nodes.iter().any(|node| node.metadata.name.as_deref() == Some(&self.node)));
        let mut watch = self.controller.watch_nodes(&list.revision).await.unwrap();
        // A cordon that says whose it is, and is not laid over what somebody else has done meanwhile. A real cluster may
        // have changed the node by itself.
        let cordoned = wait_for("the node to be cordoned", async || {
            let node = self.controller.node(&self.node).await?.unwrap();
            let patch = json!({ "metadata": { "resourceVersion": node.metadata.resource_version,
                "annotations": { "rackhaven.io/cordoned-by": "test" } }, "spec": { "unschedulable": true } });
            Ok(Some((node, self.controller.patch_node(&self.node, &patch).await?)))
        });
        let (before, after) = cordoned.await.unwrap();
        assert_eq!(after.metadata.annotations.as_ref().unwrap()["rackhaven.io/cordoned-by"], "test");
        let stale = json!({ "metadata": { "resourceVersion": before.metadata.resource_version },
            "spec": { "unschedulable": false } });
        let conflict = self.controller.patch_node(&self.node, &stale).await.unwrap_err();
        assert!(conflict.is_conflict(), "{conflict}");
        loop {
            let event = watch.next().await.unwrap().unwrap();
            let annotations = &event.object()["metadata"]["annotations"];
            if matches!(event, Event::Modified(_)) && annotations["rackhaven.io/cordoned-by"] == "test" {
                break;
            }
        }
        // A taint beside those that the cluster puts there.
        let key = "node.kubernetes.io/out-of-service";
        let tainted = async |there: bool| {
            let node = self.controller.node(&self.node).await?.unwrap();
            let mut taints: Vec<Value> = node
                .spec
                .and_then(|spec| spec.taints)
                .unwrap_or_default()
                .iter()
                .map(|taint| serde_json::to_value(taint).unwrap())
                .filter(|taint| taint["key"] != key)
                .collect();
            if there {
                taints.push(json!({ "key": key, "value": "nodeshutdown", "effect": "NoExecute" }));
            }
            let patch = json!({ "metadata": { "resourceVersion": node.metadata.resource_version },
                "spec": { "taints": taints } });
            let node = self.controller.patch_node(&self.node, &patch).await?;
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            assert_eq!(taints.iter().any(|taint| taint.key == key), there);
            Ok(Some(()))
        };
        for there in [true, false] {
            wait_for("the taint", async || tainted(there).await).await.unwrap();
        }
        let unknown = self.controller.patch_node(&self.node, &json!({ "spec": { "unschedulabel": true } })).await;
        let unknown = unknown.unwrap_err();
        assert!(unknown.to_string().contains("unknown field \"spec.unschedulabel\""), "{unknown}");
        assert!(self.controller.node("no-such-node").await.unwrap().is_none());
        assert!(!self.controller.delete_node_password("no-such-node").await.unwrap());
    }

    async fn check_rights(&self) {
        let secrets = self.controller.page(place("v1", "secrets", None), &Select::default(), 10, None).await;
        let refused = secrets.unwrap_err();
        assert_eq!(refused.code(), Some(403), "{refused}");
        assert!(refused.to_string().contains("cannot list resource \"secrets\""), "{refused}");
        let role = place("rbac.authorization.k8s.io/v1", "clusterroles", None);
        assert_eq!(self.controller.object(role, "cluster-admin").await.unwrap_err().code(), Some(403));
        let nobody = self.controller.object(self.here("v1", "serviceaccounts"), "default").await;
        assert_eq!(nobody.unwrap_err().code(), Some(403));
    }

    async fn check_apply(&self) {
        let maps = self.here("v1", "configmaps");
        let map = |value: &str| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "a", "namespace": self.namespace }, "data": { "x": value } })
        };
        let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let dry = self.controller.apply(maps, "a", &map("1"), false, true).await.unwrap();
        assert!(dry.before.is_none() && self.controller.object(maps, "a").await.unwrap().is_none());
        let new = self.controller.apply(maps, "a", &map("1"), false, false).await.unwrap();
        assert!(new.before.is_none());
        let same = self.controller.apply(maps, "a", &map("1"), false, false).await.unwrap();
        assert!(same.is_unchanged());
        assert_eq!(version(&same.object), version(&new.object));
        // Somebody else sets the field.
        let call = Call::of(Method::PATCH, "changing", maps, "a").with("fieldManager", "somebody");
        let patch = json!({ "data": { "x": "2" } });
        let _: Value = self.admin.ask(call.body("application/merge-patch+json", &patch)).await.unwrap();
        let conflict = self.controller.apply(maps, "a", &map("3"), false, false).await.unwrap_err();
        assert!(conflict.is_conflict(), "{conflict}");
        assert!(conflict.to_string().contains("conflict with \"somebody\""), "{conflict}");
        assert!(conflict.to_string().contains(".data.x"), "{conflict}");
        let forced = self.controller.apply(maps, "a", &map("3"), true, false).await.unwrap();
        assert!(!forced.is_unchanged());
        assert_eq!(forced.object["data"]["x"], "3");
        let tried = self.controller.apply(maps, "a", &map("4"), false, true).await.unwrap();
        assert!(!tried.is_unchanged());
        assert!(self.controller.apply(maps, "a", &map("3"), false, true).await.unwrap().is_unchanged());
        let mut wrong = map("3");
        wrong["dada"] = json!({});
        wrong["dada"]["x"] = "1".into();
        let unknown = self.controller.apply(maps, "a", &wrong, false, false).await.unwrap_err();
        assert!(unknown.to_string().contains(".dada"), "{unknown}");
        // What is no longer given goes, unless somebody else has set it.
        let mut without = map("3");
        without["data"] = json!({ "y": "1" });
        let left = self.controller.apply(maps, "a", &without, false, false).await.unwrap();
        assert_eq!(left.object["data"], json!({ "y": "1" }));
        assert!(self.controller.delete(maps, "a", None).await.unwrap());
        assert!(!self.controller.delete(maps, "a", None).await.unwrap());
    }

    async fn check_pages(&self) {
        let maps = self.here("v1", "configmaps");
        for name in ["p-1", "p-2", "p-3"] {
            let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name,
                "namespace": self.namespace, "labels": { "test": "pages" } } });
            self.controller.apply(maps, name, &map, false, false).await.unwrap();
        }
        let select = Select { labels: "test=pages".to_owned(), ..Select::default() };
        let first = self.controller.page(maps, &select, 2, None).await.unwrap();
        let next = self.controller.page(maps, &select, 2, first.next.as_deref()).await.unwrap();
        assert_eq!((first.items.len(), next.items.len(), next.next), (2, 1, None));
        assert_eq!(next.items[0]["metadata"]["name"], "p-3");
        let one = Select { fields: "metadata.name=p-2".to_owned(), ..Select::default() };
        assert_eq!(self.controller.page(maps, &one, 9, None).await.unwrap().items.len(), 1);
    }

    async fn check_deployment(&self) {
        let deployments = self.here("apps/v1", "deployments");
        let labels = json!({ "app": "web" });
        let deployment = |field: &str| {
            json!({ "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": "web", "namespace": self.namespace },
                "spec": { "replicas": 2, "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels },
                        "spec": { "containers": [{ "name": "web", field: "registry.invalid/web:1" }] } } } })
        };
        let strict = self.controller.apply(deployments, "web", &deployment("imag"), false, false).await.unwrap_err();
        assert!(strict.to_string().contains("imag"), "{strict}");
        self.controller.apply(deployments, "web", &deployment("image"), false, false).await.unwrap();
        self.controller.scale(deployments, "web", 3).await.unwrap();
        let web = self.controller.object(deployments, "web").await.unwrap().unwrap();
        assert_eq!(web["spec"]["replicas"], 3);
        // Who scales by hand holds the number.
        let conflict = self.controller.apply(deployments, "web", &deployment("image"), false, false).await.unwrap_err();
        assert!(conflict.to_string().contains(".spec.replicas"), "{conflict}");
        let restart = json!({ "spec": { "template": { "metadata": { "annotations": {
            "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z" } } } } });
        let again = self.controller.merge(deployments, "web", &restart).await.unwrap();
        assert_eq!(again["metadata"]["generation"], 3);
        let operations = json!([{ "op": "test", "path": "/spec/replicas", "value": 3 },
            { "op": "replace", "path": "/spec/replicas", "value": 1 }]);
        self.controller.operate(deployments, "web", &operations).await.unwrap();
        assert!(self.controller.operate(deployments, "web", &operations).await.is_err());
        let sets = self.here("apps/v1", "replicasets");
        let seen = rackhaven_tests::wait::wait_for_within(SOON, "a ReplicaSet", async || {
            let page = self.controller.page(sets, &Select::default(), 10, None).await?;
            Ok((!page.items.is_empty()).then_some(()))
        });
        if seen.await.is_err() {
            println!("no controllers: what becomes of a Deployment is not looked at");
        }
        assert!(self.controller.delete(deployments, "web", None).await.unwrap());
    }

    async fn check_evictions(&self) {
        self.need_account().await;
        let pods = self.here("v1", "pods");
        let grace = async |name: &str| {
            let pod = self.controller.pod(&self.namespace, name).await.unwrap();
            pod.and_then(|pod| pod.metadata.deletion_grace_period_seconds)
        };
        for name in ["kept", "free"] {
            let pod = json!({ "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "namespace": self.namespace, "labels": { "app": name } },
                "spec": { "nodeName": self.node, "automountServiceAccountToken": false,
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [{ "name": name, "image": "registry.invalid/x:1" }] } });
            let call = Call::of(Method::POST, "making a pod", pods, "").body("application/json", &pod);
            let _: Value = self.admin.ask(call).await.unwrap();
            // As the kubelet would say it.
            let status =
                json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
            let call = Call::of(Method::PATCH, "telling a pod's status", pods, name).part("status");
            let _: Value = self.admin.ask(call.body("application/merge-patch+json", &status)).await.unwrap();
        }
        // Beside them there may be those that the cluster puts on every node.
        let on = self.controller.pods_on(&self.node).await.unwrap();
        let ours = on.iter().filter(|pod| pod.metadata.namespace.as_deref() == Some(&self.namespace));
        assert_eq!(ours.count(), 2);
        let budgets = self.here("policy/v1", "poddisruptionbudgets");
        let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "kept", "namespace": self.namespace },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "kept" } } } });
        self.controller.apply(budgets, "kept", &budget, false, false).await.unwrap();
        let counted = rackhaven_tests::wait::wait_for_within(SOON, "the budget to be counted", async || {
            let budget = self.controller.object(budgets, "kept").await?.unwrap();
            Ok((budget["status"]["currentHealthy"] == 1).then_some(()))
        });
        if counted.await.is_err() {
            println!("no controllers: the budget's status is put there");
            let status = json!({ "status": { "observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1,
                "expectedPods": 1, "disruptionsAllowed": 0 } });
            let call = Call::of(Method::PATCH, "telling a budget's status", budgets, "kept").part("status");
            let _: Value = self.admin.ask(call.body("application/merge-patch+json", &status)).await.unwrap();
        }
        let refused = self.controller.evict(&self.namespace, "kept", None, None).await.unwrap_err();
        assert!(refused.is_budget(), "{refused}");
        assert_eq!(grace("kept").await, None);
        self.controller.evict(&self.namespace, "free", None, Some(7)).await.unwrap();
        // This is what the kube crate's own eviction loses. A node without a kubelet never lets go of it.
        assert_eq!(grace("free").await, Some(7));
        // A field of the wrong name is refused, where it would be ignored without Strict.
        let wrong = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "kept" },
            "delete_options": { "gracePeriodSeconds": 1 } });
        let call = Call::of(Method::POST, "evicting", pods, "kept").part("eviction").body("application/json", &wrong);
        let unknown = self.controller.ask::<Value>(call).await.unwrap_err();
        assert!(unknown.to_string().contains("unknown field \"delete_options\""), "{unknown}");
        let query = rackhaven_controller::k3s::api::LogQuery::default();
        assert!(self.controller.log(&self.namespace, "kept", &query).await.is_err());
        for name in ["kept", "free"] {
            self.controller.delete_pod(&self.namespace, name, None, Some(0)).await.unwrap();
            wait_until("the pod to be gone", async || {
                self.controller.pod(&self.namespace, name).await.is_ok_and(|pod| pod.is_none())
            })
            .await
            .unwrap();
        }
    }

    /// The account without which a real API takes no pods; where there are controllers, it is there soon.
    async fn need_account(&self) {
        let accounts = self.here("v1", "serviceaccounts");
        let there = rackhaven_tests::wait::wait_for_within(Duration::from_secs(5), "the default account", async || {
            self.admin.object(accounts, "default").await.map_err(Into::into)
        });
        if there.await.is_err() {
            let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": "default", "namespace": self.namespace } });
            self.admin.apply(accounts, "default", &account, false, false).await.unwrap();
        }
    }
}

/// The token of Rackhaven's account: from its secret, or where no controller fills that, asked for.
async fn service_token(admin: &Cluster) -> String {
    let secrets = place("v1", "secrets", Some("kube-system"));
    let filled = rackhaven_tests::wait::wait_for_within(SOON, "the token", async || {
        let secret = admin.object(secrets, "rackhaven-controller-token").await?.unwrap_or_default();
        Ok(secret["data"]["token"].as_str().map(str::to_owned))
    });
    if let Ok(token) = filled.await {
        return String::from_utf8(data_encoding::BASE64.decode(token.as_bytes()).unwrap()).unwrap();
    }
    println!("no controllers: a token is asked for");
    let accounts = place("v1", "serviceaccounts", Some("kube-system"));
    let call = Call::of(Method::POST, "asking for a token", accounts, "rackhaven-controller").part("token");
    let wish = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "audiences": [], "expirationSeconds": 3600 } });
    let answer: Value = admin.ask(call.body("application/json", &wish)).await.unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}
