use std::sync::Arc;

use rackhaven_proto::model::k3s::{Arch, Artifact, K3sVersion};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_server::K3s;
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, bad_input, k3s_nodes, store_failed};
use crate::core::Core;
use crate::k3s::{ArtifactError, Artifacts};
use crate::net::call_context;

/// K3s on the nodes.
pub(super) struct K3sService {
    core: Arc<Core>,
}

impl K3sService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Lets the disk work beside what must not wait for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Artifacts) -> Result<T, ArtifactError> + Send + 'static,
    ) -> Result<T, Status> {
        let artifacts = self.core.artifacts.clone();
        let done = tokio::task::spawn_blocking(move || work(&artifacts)).await;
        done.map_err(|_| Status::internal("the work on the disk was cut short"))?.map_err(refused)
    }
}

fn refused(error: ArtifactError) -> Status {
    let message = error.to_string();
    match error {
        ArtifactError::Wrong(_) => Status::invalid_argument(message),
        ArtifactError::NoRoom { .. } => Status::resource_exhausted(message),
        ArtifactError::Disk { .. } => {
            tracing::error!("{message}");
            Status::internal(message)
        }
    }
}

#[tonic::async_trait]
impl K3s for K3sService {
    type CordonStream = Answers<v1::K3sProgress>;
    type UncordonStream = Answers<v1::K3sProgress>;
    type DrainStream = Answers<v1::K3sProgress>;

    async fn get_status(&self, _: Request<v1::GetK3sStatusRequest>) -> Result<Response<v1::K3sStatus>, Status> {
        self.core.k3s_nodes.recount(self.core.clock.monotonic_ms()).await;
        Ok(Response::new(k3s_nodes::status(&self.core)))
    }

    async fn cordon(&self, request: Request<v1::CordonRequest>) -> Result<Response<Self::CordonStream>, Status> {
        let context = call_context(&request)?;
        k3s_nodes::cordon(&self.core, &context, request.into_inner()).await
    }

    async fn uncordon(&self, request: Request<v1::UncordonRequest>) -> Result<Response<Self::UncordonStream>, Status> {
        let context = call_context(&request)?;
        k3s_nodes::uncordon(&self.core, &context, request.into_inner()).await
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<Self::DrainStream>, Status> {
        let context = call_context(&request)?;
        k3s_nodes::drain(&self.core, &context, request.into_inner()).await
    }

    async fn list_artifacts(
        &self,
        _: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let all = self.on_disk(|artifacts| Ok(artifacts.list())).await?;
        Ok(Response::new(v1::ListArtifactsResponse { artifacts: all.into_iter().map(Into::into).collect() }))
    }

    async fn add_artifact(
        &self,
        request: Request<Streaming<v1::ArtifactChunk>>,
    ) -> Result<Response<v1::Artifact>, Status> {
        let context = call_context(&request)?;
        let mut inbound = request.into_inner();
        let unknown = || Status::invalid_argument("the first message does not say what comes");
        let first = inbound.message().await?.ok_or_else(unknown)?;
        let artifact = Artifact::try_from(first.artifact.ok_or_else(unknown)?).map_err(bad_input)?;
        let target = format!("{artifact} {}", artifact.sha256);
        if let Some(source) = &artifact.source {
            let target = format!("{target} from {source}");
            // What cannot be written down is not done.
            let audit = self.core.audit_entry(&context.caller, &context.origin, "K3s/AddArtifact", &target, "ok");
            self.core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
            let kept = self.on_disk(move |artifacts| artifacts.pin(&artifact)).await?;
            return Ok(Response::new(kept.into()));
        }
        let mut incoming = self.on_disk(move |artifacts| artifacts.begin(artifact)).await?;
        let mut data = first.data;
        loop {
            incoming = self.on_disk(move |_| incoming.write(&data).map(|()| incoming)).await?;
            match inbound.message().await? {
                Some(chunk) => data = chunk.data,
                None => break,
            }
        }
        incoming = self.on_disk(move |_| incoming.check().map(|()| incoming)).await?;
        // What cannot be written down is not done.
        let audit = self.core.audit_entry(&context.caller, &context.origin, "K3s/AddArtifact", &target, "ok");
        self.core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
        let kept = self.on_disk(move |_| incoming.keep()).await?;
        Ok(Response::new(kept.into()))
    }

    async fn remove_artifacts(
        &self,
        request: Request<v1::RemoveArtifactsRequest>,
    ) -> Result<Response<v1::RemoveArtifactsResponse>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let version: K3sVersion = request.version.parse().map_err(bad_input)?;
        let arch: Option<Arch> = match request.arch.as_str() {
            "" => None,
            arch => Some(arch.parse().map_err(bad_input)?),
        };
        let target = format!("{version} {}", arch.map_or("all", Arch::as_str));
        let audit = self.core.audit_entry(&context.caller, &context.origin, "K3s/RemoveArtifacts", &target, "ok");
        self.core.store.audit_all(vec![audit]).await.map_err(store_failed)?;
        let chosen =
            move |artifact: &Artifact| artifact.version == version && arch.is_none_or(|arch| artifact.arch == arch);
        let removed = self.on_disk(move |artifacts| artifacts.remove(chosen)).await?;
        if removed.is_empty() {
            return Err(Status::not_found(format!("there is no file of {target}")));
        }
        Ok(Response::new(v1::RemoveArtifactsResponse { removed: removed.into_iter().map(Into::into).collect() }))
    }
}
