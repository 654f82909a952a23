use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rackhaven_proto::v1::power_server::Power;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, bad_input, store_failed};
use crate::core::Core;
use crate::k3s::nodes;
use crate::net::{CallContext, call_context};
use crate::power::core::Targets;
use crate::power::core::supply::Cause;
use crate::power::past::past_outage;
use crate::power::{Ask, servers, view};
use crate::store::{OutageRow, TimelineRow};

/// Longest reason, bytes.
const MAX_REASON_BYTES: usize = 256;
/// Outages that are told at once, and at most.
const LIMITS: (u32, u32) = (20, 500);
/// Between two statuses of a watcher at least, and at most while an outage goes on, and while none does.
const WATCH_PACE: (Duration, Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5));

/// Power, as people see and steer it.
pub(super) struct PowerService {
    core: Arc<Core>,
}

impl PowerService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn audit(&self, context: &CallContext, action: &str, target: &str, outcome: &str) {
        let entry = self.core.audit_entry(&context.caller, &context.origin, action, target, outcome);
        if let Err(error) = self.core.store.audit(entry).await {
            // A full disk must not keep anybody from shutting the fleet down.
            tracing::error!(%error, who = %context.caller, action, target, "could not be audited");
        }
    }

    /// Asks for nodes to be taken down, and streams the timeline.
    async fn take_down(
        &self,
        context: &CallContext,
        action: &str,
        targets: Targets,
        reason: String,
        ask: impl FnOnce(Targets, Cause, oneshot::Sender<Result<u64, crate::power::core::Refused>>) -> Ask,
    ) -> Result<Response<Answers<v1::OutageEvent>>, Status> {
        if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
            let limit = format!("is longer than {MAX_REASON_BYTES} bytes, or holds a control character");
            return Err(bad_input(Invalid::new("reason", limit)));
        }
        let names = match targets.all {
            true => "all".to_owned(),
            false => targets.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        // Followed before it begins, so that no line is missed.
        let feed = self.core.power.follow();
        let cause = Cause::Asked { who: context.caller.to_string(), reason };
        let (reply, answer) = oneshot::channel();
        self.core.power.ask(ask(targets, cause, reply)).await;
        let answered = answer.await.map_err(|_| Status::unavailable("the controller is stopping"))?;
        let outcome = answered.as_ref().map_or_else(|refused| format!("refused: {refused}"), |_| "ok".to_owned());
        self.audit(context, action, &names, &outcome).await;
        let number = answered.map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        let (answers, stream) = mpsc::channel(64);
        tokio::spawn(follow(Arc::clone(&self.core), number, feed, answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    /// The nodes that are named, checked to be there.
    fn nodes(&self, names: &[String], stages: &[String]) -> Result<BTreeSet<NodeName>, Status> {
        let mut chosen = BTreeSet::new();
        for name in names {
            let node: NodeName = name.parse().map_err(bad_input)?;
            if !self.core.registry.contains(name) {
                return Err(Status::not_found(format!("there is no node {node}")));
            }
            chosen.insert(node);
        }
        self.core.power.look(|shared| {
            for stage in stages {
                let Some(index) = shared.roster.stages.iter().position(|known| known.name == *stage) else {
                    let known = shared.roster.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>();
                    return Err(Status::not_found(format!(
                        "there is no stage of this name; there are {}",
                        known.join(", ")
                    )));
                };
                let members = shared.roster.members.iter().filter(|(_, member)| member.stage == index);
                chosen.extend(members.map(|(node, _)| node.clone()));
            }
            Ok(chosen)
        })
    }

    /// An outage from its record; if it goes on, with its nodes as they are now.
    fn outage(&self, row: OutageRow, timeline: Vec<TimelineRow>) -> v1::Outage {
        self.core.power.look(|shared| {
            let stage_of = |node: &str| {
                let member = shared.roster.members.iter().find(|(name, _)| name.as_str() == node);
                let stage = member.and_then(|(_, member)| shared.roster.stages.get(member.stage));
                stage.map(|stage| stage.name.clone()).unwrap_or_default()
            };
            let now = view::outage(shared, false).filter(|outage| outage.number == row.number);
            let past = past_outage(row, timeline, stage_of);
            match now {
                Some(now) => v1::Outage { nodes: now.nodes, cause: now.cause, ..past },
                None => past,
            }
        })
    }

    fn status(&self, timeline: bool) -> v1::PowerStatus {
        status(&self.core, timeline)
    }
}

/// How the supply is now.
pub(super) fn status(core: &Core, timeline: bool) -> v1::PowerStatus {
    let (now_ms, wall_ms) = (core.power.now_ms(core.clock.boot_ms()), core.clock.wall_ms());
    let config = core.config.load();
    core.power.look(|shared| view::status(shared, &config.power, now_ms, wall_ms, timeline))
}

#[tonic::async_trait]
impl Power for PowerService {
    type WatchStream = Answers<v1::PowerStatus>;
    type ShutdownStream = Answers<v1::OutageEvent>;
    type DrillStream = Answers<v1::OutageEvent>;

    async fn get_status(&self, _: Request<v1::GetPowerStatusRequest>) -> Result<Response<v1::PowerStatus>, Status> {
        Ok(Response::new(self.status(true)))
    }

    async fn watch(&self, _: Request<v1::WatchPowerRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (answers, stream) = mpsc::channel(4);
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            let mut changes = core.power.changes();
            loop {
                let status = status(&core, true);
                let going_on = status.outage.is_some();
                if answers.send(Ok(status)).await.is_err() {
                    return;
                }
                let (least, while_going_on, calm) = WATCH_PACE;
                tokio::time::sleep(least).await;
                if going_on {
                    tokio::select! {
                        () = tokio::time::sleep(while_going_on) => {}
                        changed = changes.changed() => if changed.is_err() { return },
                        () = answers.closed() => return,
                    }
                } else {
                    tokio::select! {
                        () = tokio::time::sleep(calm) => {}
                        () = begins(&core, &mut changes) => {}
                        () = answers.closed() => return,
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn get_plan(&self, _: Request<v1::GetPowerPlanRequest>) -> Result<Response<v1::PowerPlan>, Status> {
        let core = &self.core;
        let (now_ms, wall_ms) = (core.power.now_ms(core.clock.boot_ms()), core.clock.wall_ms());
        let config = core.config.load();
        let roles = nodes::roles(core);
        Ok(Response::new(core.power.look(|shared| {
            let mut plan = view::plan(shared, &config.power, now_ms, wall_ms);
            plan.warnings.extend(servers::warnings(&shared.roster, &roles));
            plan
        })))
    }

    async fn shutdown(
        &self,
        request: Request<v1::PowerShutdownRequest>,
    ) -> Result<Response<Self::ShutdownStream>, Status> {
        let context = call_context(&request)?;
        let v1::PowerShutdownRequest { nodes, stages, all, reason } = request.into_inner();
        if all != (nodes.is_empty() && stages.is_empty()) {
            let reason = "name nodes or stages, or all of them, and not both";
            return Err(bad_input(Invalid::new("nodes", reason)));
        }
        let targets = Targets { all, nodes: self.nodes(&nodes, &stages)? };
        self.take_down(&context, "Power/Shutdown", targets, reason, Ask::Shutdown).await
    }

    async fn drill(&self, request: Request<v1::DrillRequest>) -> Result<Response<Self::DrillStream>, Status> {
        let context = call_context(&request)?;
        let v1::DrillRequest { nodes, reason } = request.into_inner();
        let mut chosen = self.nodes(&nodes, &[])?;
        if nodes.is_empty() {
            self.core.power.look(|shared| {
                let others = shared.roster.members.iter().filter(|(_, member)| !member.master);
                chosen.extend(others.map(|(node, _)| node.clone()));
            });
        }
        let targets = Targets { all: false, nodes: chosen };
        self.take_down(&context, "Power/Drill", targets, reason, Ask::Drill).await
    }

    async fn abort(&self, request: Request<v1::AbortPowerRequest>) -> Result<Response<v1::AbortPowerResponse>, Status> {
        let context = call_context(&request)?;
        let (reply, answer) = oneshot::channel();
        self.core.power.ask(Ask::Abort(reply)).await;
        let answered = answer.await.map_err(|_| Status::unavailable("the controller is stopping"))?;
        let outcome = answered.as_ref().map_or_else(|refused| format!("refused: {refused}"), |_| "ok".to_owned());
        self.audit(&context, "Power/Abort", "", &outcome).await;
        let done = answered.map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        let names = |nodes: Vec<NodeName>| nodes.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::AbortPowerResponse { kept: names(done.kept), coming_back: names(done.coming_back) }))
    }

    async fn list_outages(
        &self,
        request: Request<v1::ListOutagesRequest>,
    ) -> Result<Response<v1::ListOutagesResponse>, Status> {
        let v1::ListOutagesRequest { limit, number, with_drills } = request.into_inner();
        let limit = if limit == 0 { LIMITS.0 } else { limit };
        if limit > LIMITS.1 {
            return Err(bad_input(Invalid::new("limit", format!("{limit} is more than {}", LIMITS.1))));
        }
        let store = &self.core.store;
        let number = (number > 0).then_some(number);
        let rows = store.outages(limit, number, with_drills || number.is_some()).await.map_err(store_failed)?;
        let mut outages = Vec::with_capacity(rows.len());
        for row in rows {
            let timeline = store.timeline(row.number).await.map_err(store_failed)?;
            outages.push(self.outage(row, timeline));
        }
        Ok(Response::new(v1::ListOutagesResponse { outages }))
    }
}

/// Waits until an outage begins.
async fn begins(core: &Core, changes: &mut tokio::sync::watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        if core.power.look(|shared| shared.core.state().outage.is_some()) {
            return;
        }
    }
}

/// Streams the lines of one outage until it has ended. What a follower that fell behind has missed stands in the record.
async fn follow(
    core: Arc<Core>,
    number: u64,
    mut feed: tokio::sync::broadcast::Receiver<TimelineRow>,
    answers: mpsc::Sender<Result<v1::OutageEvent, Status>>,
) {
    loop {
        let next = tokio::select! {
            next = feed.recv() => next,
            () = answers.closed() => return,
        };
        match next {
            Ok(row) if row.outage == number => {
                let last = row.kind == "outage.ended";
                if answers.send(Ok(view::line(row))).await.is_err() || last {
                    return;
                }
            }
            Ok(row) if row.outage > number => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let ended =
                    core.power.look(|shared| shared.core.state().outage.as_ref().map(|it| it.number)) != Some(number);
                if ended {
                    return;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}
