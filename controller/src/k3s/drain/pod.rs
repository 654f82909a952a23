//! What counts of a pod for a drain.

use k8s_openapi::api::core::v1::Pod;

use super::Rules;

/// From this priority on a pod belongs to the system (system-cluster-critical).
const SYSTEM_PRIORITY: i32 = 2_000_000_000;
/// The mark of a pod that its kubelet runs from a file; the API holds but its mirror.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What a pod is given to end if it says nothing, seconds.
const USUAL_GRACE_S: u32 = 30;

/// Who would start a pod again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Its node's kubelet, from a file.
    Kubelet,
    /// A DaemonSet, on the same node.
    DaemonSet,
    /// Another controller, on another node.
    Controller,
    /// Nobody.
    Nobody,
}

/// One pod, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Where it is.
    pub namespace: String,
    /// What it is called there; another pod may be so later.
    pub name: String,
    /// This one alone.
    pub uid: String,
    /// Who would start it again.
    pub owner: Owner,
    /// Whether data goes with it.
    pub emptydir: bool,
    /// Whether others need it to work, or to end.
    pub critical: bool,
    /// Whether it has ended by itself.
    pub finished: bool,
    /// Whether it is being ended.
    pub ends: bool,
    /// What it is given to end, seconds.
    pub grace_s: u32,
}

/// What a drain does with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes.
    Goes,
    /// It is left where it is.
    Stays,
    /// Nothing would start it again, and nobody has allowed that.
    WantsForce,
    /// Data would be lost, and nobody has allowed that.
    WantsData,
}

impl PodFacts {
    /// What the API tells of a pod.
    pub fn new(pod: &Pod) -> Self {
        let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
        let annotations = meta.annotations.as_ref();
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let owner = match controller {
            _ if annotations.is_some_and(|all| all.contains_key(MIRROR)) => Owner::Kubelet,
            Some(owner) if owner.kind == "DaemonSet" => Owner::DaemonSet,
            Some(_) => Owner::Controller,
            None => Owner::Nobody,
        };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let grace_s = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let volumes = spec.and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            owner,
            emptydir: volumes.iter().any(|volume| volume.empty_dir.is_some()),
            critical: spec.and_then(|spec| spec.priority).is_some_and(|priority| priority >= SYSTEM_PRIORITY),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            ends: meta.deletion_timestamp.is_some(),
            grace_s: grace_s.and_then(|grace| u32::try_from(grace).ok()).unwrap_or(USUAL_GRACE_S),
        }
    }

    /// What becomes of it under these rules.
    pub fn fate(&self, rules: &Rules) -> Fate {
        match self.owner {
            Owner::Kubelet | Owner::DaemonSet => Fate::Stays,
            _ if self.finished => Fate::Stays,
            // Somebody has decided that already.
            _ if self.ends => Fate::Goes,
            Owner::Nobody if !rules.bare => Fate::WantsForce,
            _ if self.emptydir && !rules.emptydir => Fate::WantsData,
            Owner::Nobody | Owner::Controller => Fate::Goes,
        }
    }

    /// Its name for people.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
