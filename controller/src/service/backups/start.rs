use std::time::Duration;

use prost::Message;
use rackhaven_pki::{hex, random};
use rackhaven_proto::Invalid;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::backup::{BackupAction, BackupOrder};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use tonic::Status;

use super::{bad_input, existing_nodes, job_names, store_failed};
use crate::access::{Denial, decide_run};
use crate::backup::Ordered;
use crate::core::Core;
use crate::fleet::Outbox;
use crate::net::CallContext;

/// An order is not begun later than this, milliseconds.
const EXPIRES_MS: u32 = 60_000;
/// A node that does not take an order for so long is not waited for any more.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Most runs of one request.
const MAX_STARTS: usize = 1000;
/// Longest order, bytes: a node takes 256 KiB.
const MAX_ORDER_BYTES: usize = 128 * 1024;

/// Orders runs.
pub(super) async fn start(
    core: &Core,
    context: &CallContext,
    request: v1::StartBackupsRequest,
) -> Result<v1::StartBackupsResponse, Status> {
    let wire = request.action.ok_or_else(|| bad_input(Invalid::new("action", "is missing")))?;
    if wire.encoded_len() > MAX_ORDER_BYTES {
        return Err(bad_input(Invalid::new("action", format!("is longer than {MAX_ORDER_BYTES} bytes"))));
    }
    let action = BackupAction::try_from(wire).map_err(bad_input)?;
    let nodes = existing_nodes(core, &request.nodes)?;
    job_names(&request.jobs)?;
    if let Err(Denial::NotAllowed(why) | Denial::Unauthenticated(why)) = decide_run(&context.caller, &action) {
        let target = format!("{} {}", request.nodes.join(","), request.jobs.join(","));
        let outcome = format!("denied: {why}");
        let entry = core.audit_entry(&context.caller, &context.origin, "Backups/Start", target.trim(), &outcome);
        core.denials.record(&context.host, entry).await;
        return Err(Status::permission_denied(why));
    }
    if matches!(action, BackupAction::Restore(_)) && (nodes.len() != 1 || request.jobs.len() != 1) {
        return Err(Status::invalid_argument("a restore is of one job, on one node"));
    }
    let targets = targets(core, &nodes, &request.jobs);
    if targets.is_empty() {
        return Err(Status::not_found("no node has such a job"));
    }
    if targets.len() > MAX_STARTS {
        return Err(Status::invalid_argument(format!("{} runs are too many, at most {MAX_STARTS}", targets.len())));
    }
    let mut started = Vec::new();
    let mut orders = Vec::new();
    for target in targets {
        match prepare(core, context, &target, &action) {
            Ok(order) => orders.push((target, order)),
            Err(refused) => started.push(told(&target, String::new(), refused)),
        }
    }
    let audit = orders.iter().map(|(target, order)| {
        let what = format!("{}/{}: {}, run {}", target.node, target.job, action.as_str(), order.run_id);
        core.audit_entry(&context.caller, &context.origin, "Backups/Start", &what, "ok")
    });
    core.store.audit_all(audit.collect()).await.map_err(store_failed)?;
    for (target, order) in orders {
        started.push(send(core, target, order).await);
    }
    started.sort_by(|a, b| (&a.node, &a.job).cmp(&(&b.node, &b.job)));
    Ok(v1::StartBackupsResponse { started })
}

/// A job to run, and why it cannot be.
struct Target {
    node: NodeName,
    job: String,
    /// Empty if nothing speaks against it.
    problem: String,
}

/// Which jobs of which nodes are meant. Those that were named and are not there are among them, with the reason.
fn targets(core: &Core, nodes: &[NodeName], jobs: &[String]) -> Vec<Target> {
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let listed = core.backups.list(&names);
    let known = listed.iter().filter_map(|entry| Some((&entry.node, entry.job.as_ref()?, entry.pending)));
    let mut targets: Vec<Target> = Vec::new();
    for (node, job, pending) in known.filter(|(_, job, _)| jobs.is_empty() || jobs.contains(&job.name)) {
        let Ok(node) = node.parse() else { continue };
        let problem = match job.problem.as_str() {
            // The node has never told of it.
            "" if pending && job.repository.is_empty() => "the node has not taken up the job yet".to_owned(),
            problem => problem.to_owned(),
        };
        targets.push(Target { node, job: job.name.clone(), problem });
    }
    for node in nodes {
        let has = |job: &str| targets.iter().any(|target| target.node == *node && target.job == job);
        let missing: Vec<_> = jobs.iter().filter(|job| !has(job)).cloned().collect();
        let refuse = |job: String| Target { node: node.clone(), problem: format!("{node} has no job {job}"), job };
        targets.extend(missing.into_iter().map(refuse));
    }
    targets
}

/// The order for one job, or why there is none.
fn prepare(core: &Core, context: &CallContext, target: &Target, action: &BackupAction) -> Result<BackupOrder, String> {
    if !target.problem.is_empty() {
        return Err(target.problem.clone());
    }
    if core.registry.outbox(&target.node).is_none() {
        return Err(format!("{} is not connected", target.node));
    }
    let id = random::<16>().map_err(|error| error.to_string())?;
    let refuse = |invalid: Invalid| invalid.to_string();
    Ok(BackupOrder {
        run_id: hex(&id).parse().map_err(refuse)?,
        job: target.job.parse().map_err(refuse)?,
        action: action.clone(),
        expires_in_ms: EXPIRES_MS,
        requested_by: context.caller.to_string(),
    })
}

async fn send(core: &Core, target: Target, order: BackupOrder) -> v1::StartedBackup {
    let run_id = order.run_id.to_string();
    let noted = Ordered {
        node: target.node.clone(),
        job: target.job.clone(),
        action: order.action.as_str(),
        sent_ms: core.clock.monotonic_ms(),
        heard: false,
    };
    if !core.backups.ordered(run_id.clone(), noted) {
        return told(&target, String::new(), "too many orders wait for nodes".to_owned());
    }
    let sent = match core.registry.outbox(&target.node) {
        Some(outbox) => hand_over(&outbox, ToAgent::BackupOrder(order.into())).await,
        None => false,
    };
    if sent {
        return told(&target, run_id, String::new());
    }
    core.backups.not_ordered(&run_id);
    let refused = format!("{} does not take the order", target.node);
    told(&target, String::new(), refused)
}

/// Sends to a node that may be slow, for a bounded time.
pub(in crate::service) async fn hand_over(outbox: &Outbox, body: ToAgent) -> bool {
    matches!(tokio::time::timeout(HAND_OVER, outbox.send(body)).await, Ok(true))
}

fn told(target: &Target, run_id: String, refused: String) -> v1::StartedBackup {
    v1::StartedBackup { node: target.node.to_string(), job: target.job.clone(), run_id, refused }
}
