use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use rackhaven_pki::Subject;
use rackhaven_proto::model::{
    CommandId, CommandOutcome, Event, Hello, NodeName, Operation, ProgressState, Sample, Severity, ShutdownProgress,
    StepOutcome, StopReport,
};
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_proto::v1::sessions_server::Sessions;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, bad_input, session_backups};
use crate::access::Caller;
use crate::core::Core;
use crate::fleet::{Outbox, SessionId};
use crate::net::{CallContext, call_context};
use crate::store::CommandRow;

/// How long an agent may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages of one agent in a second; an agent that sends more is read more slowly.
const MESSAGES_PER_SECOND: u32 = 200;
/// Events that a node may hand in at once: what its spool holds, and some more. Then so many in a second.
const EVENTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1200).unwrap();
const EVENTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// The event of two agents with one name is told once in so long, milliseconds.
const DUPLICATE_EVENT_EVERY_MS: u64 = 600_000;

/// The agents' sessions.
pub(super) struct SessionService {
    core: Arc<Core>,
    event_quota: Arc<EventQuota>,
    duplicates: std::sync::Mutex<std::collections::HashMap<NodeName, u64>>,
}

/// Keeps one node from pushing all others' events out of the record.
type EventQuota = RateLimiter<NodeName, DefaultKeyedStateStore<NodeName>, DefaultClock>;

impl SessionService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let quota = Quota::per_second(EVENTS_PER_SECOND).allow_burst(EVENTS_AT_ONCE);
        Self { core, event_quota: Arc::new(RateLimiter::keyed(quota)), duplicates: std::sync::Mutex::default() }
    }

    /// Reads the hello and checks that it is from whom the certificate names.
    async fn hello(
        &self,
        context: &CallContext,
        name: &NodeName,
        inbound: &mut Streaming<v1::AgentMessage>,
    ) -> Result<Hello, Status> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello"))??;
        let Some(FromAgent::Hello(wire)) = first.and_then(|message| message.body) else {
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        let hello = Hello::try_from(wire).map_err(bad_input)?;
        if hello.node != *name {
            let core = &self.core;
            let outcome = format!("denied: says it is node/{}", hello.node);
            let entry =
                core.audit_entry(&context.caller, &context.origin, "Sessions/Open", hello.node.as_str(), &outcome);
            core.denials.record(&context.host, entry).await;
            let message = format!("{name} posed as {} from {}", hello.node, context.host);
            if self.event_quota.check_key(name).is_ok() {
                core.events.observe(&core.clock, Some(name), "session.impostor", Severity::Critical, message).await;
            }
            return Err(Status::permission_denied(format!("the certificate is for {name}, not for {}", hello.node)));
        }
        Ok(hello)
    }

    /// Whether the event of two agents with this name is due.
    fn tell_duplicate(&self, name: &NodeName, now_ms: u64) -> bool {
        let mut told = self.duplicates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = told.get(name).is_none_or(|last| now_ms.saturating_sub(*last) >= DUPLICATE_EVENT_EVERY_MS);
        if due {
            told.insert(name.clone(), now_ms);
        }
        due
    }
}

#[tonic::async_trait]
impl Sessions for SessionService {
    type OpenStream = Answers<v1::ControllerMessage>;

    async fn open(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::OpenStream>, Status> {
        let context = call_context(&request)?;
        let Caller::Node(name) = context.caller.clone() else {
            return Err(Status::permission_denied("a session is a node's"));
        };
        let mut inbound = request.into_inner();
        let core = &self.core;
        let hello = match self.hello(&context, &name, &mut inbound).await {
            Ok(hello) => hello,
            Err(status) => {
                if is_senders_fault(&status) {
                    let outcome = format!("denied: {}", status.message());
                    let entry =
                        core.audit_entry(&context.caller, &context.origin, "Sessions/Open", name.as_str(), &outcome);
                    Box::pin(core.denials.record(&context.host, entry)).await;
                }
                return Err(status);
            }
        };
        let now_ms = core.clock.monotonic_ms();
        let (outbox, stream) = Outbox::new();
        let attached = core
            .registry
            .attach(&hello, outbox.clone(), context.origin.clone(), now_ms, &core.thresholds())
            .ok_or_else(|| Status::permission_denied(format!("{name} is not in the fleet")))?;
        let attached = match attached {
            Ok(attached) => attached,
            Err(conflict) => {
                if self.tell_duplicate(&name, now_ms) {
                    let message = format!(
                        "two agents are {name}: {} is kept, {} refused; was its disk cloned? ctl node rejoin {name}",
                        conflict.kept, context.origin
                    );
                    core.events
                        .observe(&core.clock, Some(&name), "session.duplicate", Severity::Critical, message)
                        .await;
                }
                return Err(Status::already_exists(format!("another agent is {name} already, at {}", conflict.kept)));
            }
        };
        if let Some(replaced) = attached.replaced {
            replaced.end(Status::aborted("a newer session has taken over"));
        }
        let skew_ms = hello.wall_unix_ms.saturating_sub(core.clock.wall_ms());
        core.registry.heard(&name, Some(skew_ms), now_ms, true);
        let welcome = v1::Welcome { settings: Some(settings(core)), wall_unix_ms: core.clock.wall_ms() };
        // The outbox is new and empty.
        outbox.try_send(ToAgent::Welcome(welcome));
        let address = context.host.parse().ok();
        core.power.node_up(name.clone(), hello.facts.boot_id.clone(), address).await;
        for command in core.commands.due(&name, now_ms) {
            outbox.try_send(ToAgent::Command(command.into()));
        }
        session_backups::greet(core, &name, &outbox);
        if attached.facts_changed {
            let Hello { agent_version, facts, last_run, .. } = hello;
            let stored = core.store.set_node_facts(name.clone(), agent_version, facts, last_run).await;
            if let Err(error) = stored {
                // A session is worth more than its facts on the disk.
                tracing::error!(%error, node = %name, "a node's facts could not be stored");
            }
        }
        retire_older_certificates(core, &name, context.serial.as_deref()).await;
        let event_quota = Arc::clone(&self.event_quota);
        let session = Session { core: Arc::clone(core), event_quota, name, id: attached.id, outbox };
        tokio::spawn(session.read(inbound));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream).map(|message| *message))))
    }
}

/// The settings that agents are told.
pub fn settings(core: &Core) -> v1::Settings {
    let config = core.config.load();
    v1::Settings {
        heartbeat_ms: config.session.heartbeat_ms,
        sample_ms: config.session.sample_ms,
        endpoints: core.endpoints(),
    }
}

/// Whether it was what the agent sent, and not the line, that ended its session.
fn is_senders_fault(status: &Status) -> bool {
    match status.code() {
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => true,
        // What cannot be decoded; a line that breaks in the midst of a message has a source.
        tonic::Code::Internal => std::error::Error::source(status).is_none(),
        _ => false,
    }
}

/// A node that uses its newest certificate needs none of the older ones.
async fn retire_older_certificates(core: &Core, name: &NodeName, serial: Option<&str>) {
    let subject = Subject::Node(name.clone());
    let Some(serial) = serial else { return };
    if core.directory.newest(&subject).is_none_or(|(_, newest)| newest != serial) {
        return;
    }
    if core.directory.revoke(&subject, Some(serial)) > 0 {
        core.connections.end(&subject, Some(serial));
        let retired = core.store.retire_others(subject, serial.to_owned(), core.clock.wall_ms()).await;
        if let Err(error) = retired {
            tracing::error!(%error, node = %name, "older certificates could not be retired on the disk");
        }
    }
}

/// One agent's session, from welcome to end.
struct Session {
    core: Arc<Core>,
    event_quota: Arc<EventQuota>,
    name: NodeName,
    id: SessionId,
    outbox: Outbox,
}

impl Session {
    async fn read(self, mut inbound: Streaming<v1::AgentMessage>) {
        let mut second = 0;
        let mut in_second = 0;
        let end = loop {
            let message = tokio::select! {
                message = inbound.message() => message,
                () = self.outbox.closed() => break None,
            };
            let now_ms = self.core.clock.monotonic_ms();
            if now_ms / 1000 == second {
                in_second += 1;
            } else {
                (second, in_second) = (now_ms / 1000, 0);
            }
            if in_second > MESSAGES_PER_SECOND {
                // Unread messages fill the stream's window: the flood stops at its source.
                tokio::time::sleep(Duration::from_millis(1000 - now_ms % 1000)).await;
            }
            let body = match message {
                Ok(Some(message)) => message.body,
                Ok(None) => break None,
                Err(status) => break Some(status),
            };
            if let Err(status) = self.take(body, now_ms).await {
                break Some(status);
            }
        };
        if let Some(status) = end {
            Box::pin(self.tell_end(status)).await;
        }
        if self.core.registry.detach(&self.name, self.id, self.core.clock.monotonic_ms()) {
            self.core.power.node_gone(self.name.clone()).await;
        }
    }

    async fn tell_end(&self, status: Status) {
        tracing::debug!(node = %self.name, %status, "a session ended");
        if is_senders_fault(&status) {
            let caller = Caller::Node(self.name.clone());
            let outcome = format!("denied: {}", status.message());
            let entry = self.core.audit_entry(&caller, "", "Sessions/Open", self.name.as_str(), &outcome);
            self.core.denials.record(self.name.as_str(), entry).await;
        }
        self.outbox.end(status);
    }

    /// Acts on one message. What comes all the time is dealt with here; the rest has its own place, so that it takes no
    /// room in each session's task.
    async fn take(&self, body: Option<FromAgent>, now_ms: u64) -> Result<(), Status> {
        let core = &self.core;
        match body {
            Some(FromAgent::Heartbeat(heartbeat)) => {
                let skew_ms = heartbeat.wall_unix_ms.saturating_sub(core.clock.wall_ms());
                core.registry.heard(&self.name, Some(skew_ms), now_ms, false);
                Ok(())
            }
            Some(FromAgent::Sample(wire)) => {
                let sample = Sample::try_from(wire).map_err(bad_input)?;
                core.registry.heard(&self.name, None, now_ms, false);
                let wall_ms = core.history.as_ref().map(|_| core.clock.wall_ms());
                core.add_minutes(core.registry.sample(&self.name, &sample, now_ms, wall_ms));
                Ok(())
            }
            other => Box::pin(self.take_rare(other)).await,
        }
    }

    async fn take_rare(&self, body: Option<FromAgent>) -> Result<(), Status> {
        let core = &self.core;
        match body {
            Some(FromAgent::Event(wire)) => {
                let event = Event::try_from(wire).map_err(bad_input)?;
                let id = event.id.to_string();
                if self.event_quota.check_key(&self.name).is_err() {
                    tracing::warn!(node = %self.name, "too many events: the node will send this one again");
                    return Ok(());
                }
                match core.events.record(&self.name, event, &core.clock).await {
                    Ok(()) => self.send(ToAgent::EventsStored(v1::EventsStored { ids: vec![id] })).await,
                    // Not acknowledged: the agent keeps it and sends it again. The session goes on, because a node must
                    // be seen and switched off while the disk is full.
                    Err(error) => tracing::error!(%error, node = %self.name, "an event could not be stored"),
                }
                Ok(())
            }
            Some(FromAgent::CommandUpdate(update)) => self.command_update(update).await,
            Some(FromAgent::ShutdownProgress(wire)) => {
                let progress = ShutdownProgress::try_from(wire).map_err(bad_input)?;
                if progress.state == ProgressState::PoweringOff {
                    core.registry.goes_off(&self.name);
                }
                core.power.progress(self.name.clone(), progress).await;
                Ok(())
            }
            Some(FromAgent::StopReport(wire)) => self.stop_report(StopReport::try_from(wire).map_err(bad_input)?).await,
            Some(FromAgent::BackupJobs(told)) => session_backups::jobs(core, &self.name, &self.outbox, told).await,
            Some(FromAgent::BackupProgress(progress)) => session_backups::progress(core, &self.name, progress),
            Some(FromAgent::BackupReport(report)) => {
                if self.event_quota.check_key(&self.name).is_err() {
                    tracing::warn!(node = %self.name, "too many reports: the node will send this one again");
                    return Ok(());
                }
                session_backups::report(core, &self.name, &self.outbox, report).await
            }
            Some(FromAgent::Hello(_)) => Err(Status::invalid_argument("a second hello")),
            Some(FromAgent::Heartbeat(_) | FromAgent::Sample(_)) | None => {
                Err(Status::invalid_argument("an empty message, or one that this version does not know"))
            }
        }
    }

    async fn command_update(&self, update: v1::CommandUpdate) -> Result<(), Status> {
        let core = &self.core;
        let (id, outcome): (CommandId, CommandOutcome) = update.try_into().map_err(bad_input)?;
        let answered = match core.commands.answer(&self.name, id.clone(), outcome.clone()).await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::error!(%error, node = %self.name, "a command's outcome could not be stored");
                return Ok(());
            }
        };
        // An answer that came before is stored already, and is acknowledged all the same.
        if let Some(command) = answered.filter(|_| outcome.is_final()) {
            if outcome == CommandOutcome::Succeeded && command.operation == Operation::PowerOff {
                core.registry.goes_off(&self.name);
            }
            let (severity, end) = match &outcome {
                CommandOutcome::Failed(reason) => (Severity::Critical, format!("failed: {reason}")),
                CommandOutcome::Expired => (Severity::Warning, "came too late".to_owned()),
                CommandOutcome::Accepted | CommandOutcome::Succeeded => (Severity::Info, "begun".to_owned()),
            };
            let CommandRow { operation, requested_by, .. } = command;
            let message = format!("{operation} of {}, asked by {requested_by}, {end}", self.name);
            core.events.observe(&core.clock, Some(&self.name), "node.command", severity, message).await;
        }
        if outcome.is_final() {
            self.send(ToAgent::CommandStored(v1::CommandStored { id: id.to_string() })).await;
        }
        Ok(())
    }

    /// Tells how the node's last stop went, once: it is sent again until it is acknowledged.
    async fn stop_report(&self, report: StopReport) -> Result<(), Status> {
        let core = &self.core;
        let total_ms: u64 = report.steps.iter().map(|step| u64::from(step.duration_ms)).sum();
        let troubled =
            report.steps.iter().filter(|step| !matches!(step.outcome, StepOutcome::Done | StepOutcome::Skipped));
        let troubled: Vec<String> = troubled.map(|step| format!("{} {}", step.kind, step.outcome.as_str())).collect();
        let how = if report.clean { "clean" } else { "not clean" };
        let why = match &report.order_id {
            Some(id) => format!("order {id}, "),
            None if report.clean || !report.steps.is_empty() => "asked by its own system, ".to_owned(),
            None => "nobody had asked for it, ".to_owned(),
        };
        let steps = match report.steps.len() {
            0 => "no steps".to_owned(),
            count => format!("{count} steps in {:.1} s", total_ms as f64 / 1000.0),
        };
        let mut message = format!("the last stop of {} was {how}: {why}{steps}", self.name);
        if !troubled.is_empty() {
            message = format!("{message}; {}", troubled.join(", "));
        }
        let severity = if report.clean { Severity::Info } else { Severity::Warning };
        // The same report is the same event, however often it comes.
        let key = rackhaven_pki::hex(&rackhaven_pki::sha256(report.boot_id.as_bytes()));
        let id = format!("stop-{}", key.get(..32).unwrap_or_default()).parse().map_err(bad_input)?;
        let message = message.chars().take(Event::MAX_MESSAGE_BYTES / 4).collect();
        let wall_unix_ms = core.clock.wall_ms();
        let event = Event { id, kind: "node.stopped".to_owned(), severity, message, wall_unix_ms, age_ms: None };
        match core.events.record(&self.name, event, &core.clock).await {
            Ok(()) => {
                let stored = v1::StopReportStored { boot_id: report.boot_id };
                self.send(ToAgent::StopReportStored(stored)).await;
            }
            Err(error) => tracing::error!(%error, node = %self.name, "the report of a stop could not be stored"),
        }
        Ok(())
    }

    async fn send(&self, body: ToAgent) {
        // An agent that is gone is noticed by the reading side.
        self.outbox.send(body).await;
    }
}
