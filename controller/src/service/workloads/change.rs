use rackhaven_proto::v1;
use rackhaven_proto::v1::applied_workload::Outcome;
use serde_json::Value;
use tonic::Status;

use super::{Wanted, WorkloadService, refused, role};
use crate::k3s::api::Cluster;
use crate::k3s::workloads::{by_object, may_apply, may_delete};
use crate::net::CallContext;

/// Most objects of one request, and the longest times and numbers that make sense.
const MOST_OBJECTS: usize = 200;
const MOST_REPLICAS: u32 = 10_000;
const LONGEST_GRACE_S: u32 = 24 * 3600;

/// An object to apply.
struct Given {
    wanted: Wanted,
    object: Value,
}

impl Given {
    fn read(text: &str, usual_namespace: &str) -> Result<Self, Status> {
        let wrong = |reason: String| Status::invalid_argument(format!("{reason}; nothing was done"));
        let mut object: Value = serde_json::from_str(text).map_err(|error| wrong(format!("an object: {error}")))?;
        let said = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (said("name"), said("namespace"));
        let shown = format!("{}/{name}", object["kind"].as_str().unwrap_or("an object"));
        let kind = by_object(&object).map_err(|why| wrong(format!("{shown}: {why}")))?;
        if name.is_empty() {
            return Err(wrong(format!("{shown}: it has no name; one that is made up cannot be applied twice")));
        }
        let namespace = match (kind.namespaced, namespace.as_str(), usual_namespace) {
            (false, ..) => String::new(),
            (true, "", "") => "default".to_owned(),
            (true, "", usual) => usual.to_owned(),
            (true, said, usual) if !usual.is_empty() && said != usual => {
                return Err(wrong(format!("{shown}: it names the namespace {said:?}, not {usual:?}")));
            }
            (true, said, _) => said.to_owned(),
        };
        if kind.namespaced {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        Ok(Self { wanted: Wanted { kind, namespace, name }, object })
    }

    async fn apply(&self, cluster: &Cluster, force: bool, dry_run: bool) -> v1::AppliedWorkload {
        let wanted = &self.wanted;
        let done = cluster.apply(wanted.place(), &wanted.name, &self.object, force, dry_run).await;
        let outcome = match &done {
            Err(_) => Outcome::Failed,
            Ok(applied) if applied.before.is_none() => Outcome::Created,
            Ok(applied) if applied.is_unchanged() => Outcome::Unchanged,
            Ok(_) => Outcome::Configured,
        };
        let error = done.err();
        v1::AppliedWorkload {
            kind: wanted.kind.qualified(),
            namespace: wanted.namespace.clone(),
            name: wanted.name.clone(),
            outcome: outcome.into(),
            conflict: error.as_ref().is_some_and(|error| error.is_conflict()),
            reason: error.map(|error| error.to_string()).unwrap_or_default(),
        }
    }
}

impl WorkloadService {
    pub(super) async fn apply_all(
        &self,
        context: &CallContext,
        request: v1::ApplyWorkloadsRequest,
    ) -> Result<v1::ApplyWorkloadsResponse, Status> {
        if request.objects.is_empty() || request.objects.len() > MOST_OBJECTS {
            let message = format!("objects: {} are not 1 to {MOST_OBJECTS}", request.objects.len());
            return Err(Status::invalid_argument(message));
        }
        let read = |text: &String| Given::read(text, &request.namespace);
        let all = request.objects.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for given in &all {
            let Wanted { kind, namespace, .. } = &given.wanted;
            if let Err(denied) = may_apply(kind, &given.object, namespace, role(&context.caller)) {
                return Err(self.denied(context, "Apply", &given.wanted.described(), denied).await);
            }
        }
        let cluster = self.cluster()?;
        if !request.dry_run {
            let targets: Vec<String> = all.iter().map(|given| given.wanted.described()).collect();
            self.audit(context, "Apply", &targets).await?;
        }
        let mut applied = Vec::with_capacity(all.len());
        for given in all {
            applied.push(given.apply(&cluster, request.force_conflicts, request.dry_run).await);
        }
        Ok(v1::ApplyWorkloadsResponse { applied })
    }

    pub(super) async fn scale_one(
        &self,
        context: &CallContext,
        request: v1::ScaleWorkloadRequest,
    ) -> Result<v1::ScaleWorkloadResponse, Status> {
        let wanted = Wanted::of(request.object, &["Deployment", "StatefulSet"], "the number of replicas")?;
        if request.replicas > MOST_REPLICAS {
            let message = format!("replicas: {} are more than {MOST_REPLICAS}", request.replicas);
            return Err(Status::invalid_argument(message));
        }
        let cluster = self.cluster()?;
        self.audit(context, "Scale", &[format!("{} to {}", wanted.described(), request.replicas)]).await?;
        match cluster.scale(wanted.place(), &wanted.name, request.replicas).await {
            Ok(()) => Ok(v1::ScaleWorkloadResponse { kind: wanted.kind.qualified() }),
            Err(error) if error.is_not_found() => Err(wanted.not_found()),
            Err(error) => Err(refused(error)),
        }
    }

    pub(super) async fn delete_one(
        &self,
        context: &CallContext,
        request: v1::DeleteWorkloadRequest,
    ) -> Result<v1::DeleteWorkloadResponse, Status> {
        let wanted = Wanted::named(request.object)?;
        if request.grace_seconds.is_some_and(|grace| grace > LONGEST_GRACE_S) {
            return Err(Status::invalid_argument(format!("grace_seconds: more than {LONGEST_GRACE_S}")));
        }
        if let Err(denied) = may_delete(wanted.kind, &wanted.namespace, role(&context.caller)) {
            return Err(self.denied(context, "Delete", &wanted.described(), denied).await);
        }
        let cluster = self.cluster()?;
        self.audit(context, "Delete", &[wanted.described()]).await?;
        match cluster.delete(wanted.place(), &wanted.name, request.grace_seconds).await.map_err(refused)? {
            true => Ok(v1::DeleteWorkloadResponse { kind: wanted.kind.qualified() }),
            false => Err(wanted.not_found()),
        }
    }
}
