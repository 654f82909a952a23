use std::sync::Arc;
use std::sync::atomic::Ordering;

use rackhaven_pki::{SecretHash, Subject, Token};
use rackhaven_proto::model::{LabelKey, Labels, NodeName, Operation, Severity};
use rackhaven_proto::v1;
use rackhaven_proto::v1::fleet_server::Fleet;
use tonic::{Request, Response, Status};

use super::summary::{Whole, judge, summary, whole};
use super::{Answers, bad_input, node_command, past, store_failed};
use crate::core::Core;
use crate::fleet::Reading;
use crate::history::minute_point;
use crate::net::{CallContext, call_context};
use crate::store::{TokenPurpose, TokenRow};

/// An invitation lives so long unless told otherwise, seconds.
const DEFAULT_TTL_S: u32 = 3600;
/// Longest life of an invitation, seconds: 30 days.
const MAX_TTL_S: u32 = 30 * 24 * 3600;
/// Most nodes by one invitation.
const MAX_USES: u32 = 1000;

/// The nodes.
pub(super) struct FleetService {
    core: Arc<Core>,
}

impl FleetService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The name of a node that there is.
    fn existing(&self, name: &str) -> Result<NodeName, Status> {
        super::existing(&self.core, name)
    }

    async fn invite(
        &self,
        context: &CallContext,
        token: NewInvitation<'_>,
    ) -> Result<Response<v1::Invitation>, Status> {
        let (token, ends_ms) = store_invitation(&self.core, context, token).await?;
        Ok(Response::new(v1::Invitation {
            token: token.reveal(),
            ends_unix_ms: ends_ms,
            endpoints: self.core.endpoints(),
        }))
    }
}

/// What an invitation is made of.
pub(super) struct NewInvitation<'a> {
    pub(super) action: &'a str,
    pub(super) purpose: TokenPurpose,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) ttl_s: u32,
    pub(super) uses: u32,
}

/// Makes an invitation and stores what is kept of it; the token, and when it ends.
pub(super) async fn store_invitation(
    core: &Core,
    context: &CallContext,
    new: NewInvitation<'_>,
) -> Result<(Token, i64), Status> {
    let ttl_s = if new.ttl_s == 0 { DEFAULT_TTL_S } else { new.ttl_s };
    if ttl_s > MAX_TTL_S {
        return Err(Status::invalid_argument(format!("ttl_seconds: {ttl_s} is more than {MAX_TTL_S} (30 days)")));
    }
    let uses = new.uses.max(1);
    if uses > MAX_USES {
        return Err(Status::invalid_argument(format!("uses: {uses} is more than {MAX_USES}")));
    }
    let token = Token::generate(core.authority.fingerprint()).map_err(|error| Status::internal(error.to_string()))?;
    let wall_ms = core.clock.wall_ms();
    let ends_ms = wall_ms.saturating_add(i64::from(ttl_s) * 1000);
    let target = match new.name.as_str() {
        "" => format!("invitation {}", token.id),
        name => format!("{name}, invitation {}", token.id),
    };
    let audit = core.audit_entry(&context.caller, &context.origin, new.action, &target, "ok");
    let row = TokenRow {
        id: token.id.clone(),
        secret_hash: SecretHash::of(token.secret()),
        purpose: new.purpose,
        name: new.name,
        labels: new.labels,
        ends_ms,
        uses_left: uses,
        failures: 0,
    };
    core.store.store_token(row, wall_ms, audit).await.map_err(store_failed)?;
    Ok((token, ends_ms))
}

#[tonic::async_trait]
impl Fleet for FleetService {
    type RebootNodeStream = Answers<v1::CommandProgress>;
    type PowerOffNodeStream = Answers<v1::CommandProgress>;

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::FleetStatus>, Status> {
        let core = &self.core;
        let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
        let Whole { nodes, verdict, reason: verdict_reason, data_age_ms, power, backups, k3s } = whole(core);
        Ok(Response::new(v1::FleetStatus {
            cluster_id: core.cluster.id.to_string(),
            cluster_name: core.cluster.name.clone(),
            controller_version: rackhaven_proto::VERSION.to_owned(),
            verdict: verdict.into(),
            verdict_reason,
            data_age_ms,
            wall_unix_ms: wall_ms,
            controller_uptime_ms: now_ms,
            nodes: nodes.iter().map(summary).collect(),
            server_certificate_ends_unix_ms: core
                .server_certificate_ends_s
                .load(Ordering::Relaxed)
                .saturating_mul(1000),
            power,
            backups,
            k3s,
            alerts: super::alerts::firing(core, wall_ms),
            firing: u32::try_from(core.alerts.look().firing().len()).unwrap_or(u32::MAX),
        }))
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Result<Response<v1::NodeDetail>, Status> {
        let core = &self.core;
        let name = self.existing(&request.into_inner().name)?;
        let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
        let view = core
            .registry
            .view(&name, now_ms, wall_ms)
            .ok_or_else(|| Status::not_found(format!("there is no node {name}")))?;
        let minutes = match &core.history {
            None => Vec::new(),
            Some(history) => {
                let hour_ago = wall_ms.div_euclid(60_000) - 60;
                history.minutes(name.to_string(), hour_ago).await.map_err(store_failed)?
            }
        };
        let node = judge(view, &core.directory.node_certificate_ends(), wall_ms);
        let serial = core.directory.newest(&Subject::Node(name.clone())).map(|(_, serial)| serial);
        Ok(Response::new(v1::NodeDetail {
            summary: Some(summary(&node)),
            facts: node.view.facts.as_deref().map(|facts| facts.clone().into()),
            sample: node.view.reading.as_deref().and_then(Reading::sample),
            sample_age_ms: node.view.sample_age_ms,
            last_run: node.view.last_run.clone().map(Into::into),
            enrolled_unix_ms: node.view.enrolled_ms,
            certificate_serial: serial.unwrap_or_default(),
            peer_address: node.view.peer_address.clone(),
            recent: core.registry.recent(&name),
            minutes: minutes.iter().map(minute_point).collect(),
        }))
    }

    async fn get_history(&self, request: Request<v1::GetHistoryRequest>) -> Result<Response<v1::NodeHistory>, Status> {
        let request = request.into_inner();
        let name = self.existing(&request.name)?;
        past::history(&self.core, name, &request).await.map(Response::new)
    }

    async fn invite_node(&self, request: Request<v1::InviteNodeRequest>) -> Result<Response<v1::Invitation>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        if !request.name.is_empty() {
            let name: NodeName = request.name.parse().map_err(bad_input)?;
            if self.core.registry.contains(name.as_str()) {
                return Err(Status::already_exists(format!(
                    "a node {name} is enrolled already; if it comes back with a new card: ctl node rejoin {name}"
                )));
            }
            if request.uses > 1 {
                return Err(Status::invalid_argument("uses: an invitation with a name is good for one node"));
            }
        }
        let new = NewInvitation {
            action: "Fleet/InviteNode",
            purpose: TokenPurpose::Node,
            name: request.name,
            labels: request.labels.try_into().map_err(bad_input)?,
            ttl_s: request.ttl_seconds,
            uses: request.uses,
        };
        self.invite(&context, new).await
    }

    async fn rejoin_node(&self, request: Request<v1::RejoinNodeRequest>) -> Result<Response<v1::Invitation>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let name = self.existing(&request.name)?;
        let new = NewInvitation {
            action: "Fleet/RejoinNode",
            purpose: TokenPurpose::Rejoin,
            name: name.to_string(),
            labels: Labels::default(),
            ttl_s: request.ttl_seconds,
            uses: 1,
        };
        self.invite(&context, new).await
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        let context = call_context(&request)?;
        let core = &self.core;
        let name = self.existing(&request.into_inner().name)?;
        let of_cluster = core.k3s_cluster.record().map_err(Status::internal)?;
        if of_cluster.is_some_and(|record| record.members.contains_key(&name)) {
            return Err(Status::failed_precondition(format!(
                "{name} is a node of the K3s cluster: `ctl k3s leave {name}` first, with --forget if it is gone for good"
            )));
        }
        let audit = core.audit_entry(&context.caller, &context.origin, "Fleet/RemoveNode", name.as_str(), "ok");
        core.store.remove_node(name.clone(), core.clock.wall_ms(), audit).await.map_err(store_failed)?;
        let subject = Subject::Node(name.clone());
        core.directory.revoke(&subject, None);
        let outbox = core.registry.remove(&name).flatten();
        core.commands.forget(&name);
        core.backups.forget(&name);
        if let Some(history) = &core.history
            && let Err(error) = history.forget(name.to_string()).await
        {
            tracing::error!(%error, node = %name, "its history will be forgotten at the next start");
        }
        if let Some(outbox) = &outbox {
            outbox.end(Status::permission_denied(format!("{name} was removed from the fleet")));
        }
        let ended = core.connections.end(&subject, None);
        let message = format!("{name} was removed by {}", context.caller);
        core.events.observe(&core.clock, Some(&name), "node.removed", Severity::Warning, message).await;
        core.access_changed.notify_one();
        Ok(Response::new(v1::RemoveNodeResponse { session_ended: outbox.is_some() || ended > 0 }))
    }

    async fn label_node(
        &self,
        request: Request<v1::LabelNodeRequest>,
    ) -> Result<Response<v1::LabelNodeResponse>, Status> {
        let context = call_context(&request)?;
        let core = &self.core;
        let request = request.into_inner();
        let name = self.existing(&request.name)?;
        let gone = || Status::not_found(format!("there is no node {name}"));
        let mut labels = core.registry.labels(&name).ok_or_else(gone)?;
        for key in &request.remove {
            labels.remove(&key.parse::<LabelKey>().map_err(bad_input)?);
        }
        for (key, value) in &request.set {
            labels.set(key.parse().map_err(bad_input)?, value.parse().map_err(bad_input)?).map_err(bad_input)?;
        }
        let set = request.set.iter().map(|(key, value)| format!(" {key}={value}"));
        let removed = request.remove.iter().map(|key| format!(" {key}-"));
        let target = format!("{name}:{}", set.chain(removed).collect::<String>());
        let audit = core.audit_entry(&context.caller, &context.origin, "Fleet/LabelNode", &target, "ok");
        core.store.set_node_labels(name.clone(), labels.clone(), audit).await.map_err(store_failed)?;
        if !core.registry.set_labels(&name, labels.clone()) {
            return Err(gone());
        }
        Ok(Response::new(v1::LabelNodeResponse { labels: (&labels).into() }))
    }

    async fn reboot_node(
        &self,
        request: Request<v1::NodeCommandRequest>,
    ) -> Result<Response<Self::RebootNodeStream>, Status> {
        let context = call_context(&request)?;
        let name = self.existing(&request.get_ref().name)?;
        node_command::run(&self.core, &context, name, Operation::Reboot, request.into_inner()).await
    }

    async fn power_off_node(
        &self,
        request: Request<v1::NodeCommandRequest>,
    ) -> Result<Response<Self::PowerOffNodeStream>, Status> {
        let context = call_context(&request)?;
        let name = self.existing(&request.get_ref().name)?;
        node_command::run(&self.core, &context, name, Operation::PowerOff, request.into_inner()).await
    }
}
