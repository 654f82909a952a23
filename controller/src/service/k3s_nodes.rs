//! What `ctl` asks of K3s's nodes: how they are, and that pods come, stay away or go.

use std::sync::Arc;

use rackhaven_proto::v1;
use tonic::{Response, Status};

use super::Answers;
use crate::core::Core;
use crate::net::CallContext;

/// The nodes of K3s.
pub(super) fn status(core: &Core) -> v1::K3sStatus {
    let views = core.registry.views(core.clock.monotonic_ms(), core.clock.wall_ms());
    let unit = |view: &crate::fleet::NodeView| {
        let unit = view.reading.as_deref()?.sample()?.k3s?;
        Some(v1::K3sNodeStatus {
            node: view.name.to_string(),
            unit: unit.unit,
            unit_state: unit.state,
            ..v1::K3sNodeStatus::default()
        })
    };
    v1::K3sStatus { nodes: views.iter().filter_map(unit).collect(), ..v1::K3sStatus::default() }
}

pub(super) async fn cordon(
    _: &Arc<Core>,
    _: &CallContext,
    _: v1::CordonRequest,
) -> Result<Response<Answers<v1::K3sProgress>>, Status> {
    Err(no_api())
}

pub(super) async fn uncordon(
    _: &Arc<Core>,
    _: &CallContext,
    _: v1::UncordonRequest,
) -> Result<Response<Answers<v1::K3sProgress>>, Status> {
    Err(no_api())
}

pub(super) async fn drain(
    _: &Arc<Core>,
    _: &CallContext,
    _: v1::DrainRequest,
) -> Result<Response<Answers<v1::K3sProgress>>, Status> {
    Err(no_api())
}

fn no_api() -> Status {
    Status::failed_precondition("the controller has no way to K3s's API")
}
