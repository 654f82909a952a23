//! What a cluster does by itself, as time passes: nodes, pods and what owns them.

mod deployments;
mod kubelet;
mod nodes;
mod owners;
mod scheduler;

pub use kubelet::{READINESS, TERMINATION};

use super::kinds::by_plural;
use super::object::{is_leaving, list, namespace, text};
use super::world::World;

/// So often what one part did is taken up by the next in one go.
const ROUNDS: usize = 6;

impl World {
    /// Lets time pass until `now_ms`, and the cluster do its work.
    pub fn tick(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        for _ in 0..ROUNDS {
            let before = self.store.revision();
            self.see_to_nodes();
            self.see_to_deployments();
            self.see_to_owners();
            self.schedule();
            self.run_pods();
            self.collect_garbage();
            self.empty_namespaces();
            self.count_budgets();
            if self.store.revision() == before {
                break;
            }
        }
    }

    /// What is owned by nobody who is still there, goes.
    fn collect_garbage(&mut self) {
        const OWNED: [&str; 2] = ["replicasets", "pods"];
        const OWNERS: [&str; 5] = ["deployments", "replicasets", "statefulsets", "daemonsets", "nodes"];
        let known: std::collections::BTreeSet<String> = OWNERS
            .into_iter()
            .flat_map(|plural| self.store.all(plural))
            .map(|object| text(object, "/metadata/uid").to_owned())
            .collect();
        for plural in OWNED {
            let orphaned = |object: &serde_json::Value| {
                let owners = list(object, "/metadata/ownerReferences");
                !owners.is_empty() && owners.iter().all(|owner| !known.contains(text(owner, "/uid")))
            };
            for object in self.store.copies(plural).into_iter().filter(|object| orphaned(object)) {
                self.dismiss(plural, &object);
            }
        }
    }

    /// Deletes an object as one of the cluster's own parts does.
    fn dismiss(&mut self, plural: &'static str, object: &serde_json::Value) {
        let Some(kind) = by_plural(plural) else { return };
        let request = super::request::Request::default();
        let target = super::request::Target {
            kind,
            namespace: namespace(object),
            name: super::object::name(object),
            subresource: "",
        };
        if !is_leaving(object) {
            // It was there a moment ago.
            let _ = self.delete(&request, target);
        }
    }

    fn empty_namespaces(&mut self) {
        let Some(kind) = by_plural("namespaces") else { return };
        for leaving in self.store.copies("namespaces").into_iter().filter(is_leaving) {
            let called = super::object::name(&leaving);
            let mut empty = true;
            for plural in super::kinds::KINDS.iter().filter(|kind| kind.namespaced).map(|kind| kind.plural) {
                for object in self.store.copies(plural).into_iter().filter(|object| namespace(object) == called) {
                    empty = false;
                    self.dismiss(plural, &object);
                }
            }
            if empty {
                self.let_go(kind, &leaving);
            }
        }
    }
}
