use std::collections::VecDeque;
use std::time::Duration;

use rackhaven_proto::model::{Command, EventId, LogOrder, Severity};
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as ToController;
use rackhaven_proto::v1::controller_message::Body as FromController;
use rackhaven_proto::v1::sessions_client::SessionsClient;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::backup::{concerns, order};
use super::power::event;
use super::{Link, Node};
use crate::backup::ToBackups;
use crate::service;
use crate::shutdown::Event;

/// Messages that wait to be sent.
const OUTBOX_LENGTH: usize = 16;
/// How long the controller may take to answer the hello, and a renewal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last events may take on a stop.
const FAREWELL: Duration = Duration::from_secs(1);
/// What the controller has not stored after so long is sent to it again, milliseconds: its disk may have been full.
const SEND_AGAIN_MS: u64 = 30_000;
/// The longest message that a controller sends, bytes.
const CONTROLLER_MESSAGE_BYTES: usize = 256 * 1024;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The agent is to stop.
    Stop,
    /// A new one is to be opened at once.
    Reconnect,
    /// It broke.
    Lost(String),
}

/// One session, once it was welcomed.
struct Session {
    /// The connection.
    channel: Channel,
    outbox: mpsc::Sender<v1::AgentMessage>,
    inbound: Streaming<v1::ControllerMessage>,
    heartbeat: Interval,
    sample: Interval,
    /// What must go out, in order, before the next event.
    urgent: VecDeque<ToController>,
    /// The number of the last event that was sent.
    sent: u64,
    /// When something was last stored by the controller, or sent to be stored, by the monotonic clock.
    moved_ms: u64,
}

impl Node {
    /// Holds one session over `channel`, until it breaks or is to end.
    pub(super) async fn session(&mut self, link: &mut Link, channel: Channel) -> Result<SessionEnd, Status> {
        let Some(mut session) = self.open(link, channel).await? else { return Ok(SessionEnd::Stop) };
        let dropped = self.parts.spool.take_dropped();
        if dropped > 0 {
            let message = format!("{dropped} events were dropped: more than could be kept while there was no session");
            self.note("agent.events-dropped", Severity::Warning, &message);
        }
        service::status(&format!("node {}: connected", link.node_name().map_err(Status::internal)?));
        self.happened(Event::SessionOpened).await;
        self.backups(ToBackups::SessionOpened).await;
        let end = self.converse(link, &mut session).await;
        self.happened(Event::SessionLost).await;
        end
    }

    async fn converse(&mut self, link: &mut Link, session: &mut Session) -> Result<SessionEnd, Status> {
        let outbox = session.outbox.clone();
        loop {
            tokio::select! {
                message = session.inbound.message() => match message {
                    Ok(Some(message)) => self.take(link, session, message.body).await?,
                    Ok(None) => return Ok(SessionEnd::Lost("the controller ended it".to_owned())),
                    Err(status) => return Ok(SessionEnd::Lost(status.message().to_owned())),
                },
                _ = session.heartbeat.tick() => {
                    session.try_send(ToController::Heartbeat(v1::Heartbeat {
                        wall_unix_ms: self.clock().wall_unix_ms(),
                    }));
                    self.send_again(session).await;
                    if link.renewal_due() && renewed(link, &session.channel).await {
                        return Ok(SessionEnd::Reconnect);
                    }
                }
                _ = session.sample.tick() => {
                    let sample = self.measure();
                    session.try_send(ToController::Sample(sample));
                }
                permit = outbox.reserve(), if self.has_next(session) => {
                    let Ok(permit) = permit else { return Ok(SessionEnd::Lost("it was closed".to_owned())) };
                    if let Some(body) = self.take_next(session) {
                        permit.send(v1::AgentMessage { body: Some(body) });
                    }
                }
                request = self.parts.requests.recv() => if self.obey(request) {
                    let _ = timeout(FAREWELL, self.say_farewell(session)).await;
                    return Ok(SessionEnd::Stop);
                },
                Some(told) = self.parts.asked_beside.recv() => self.parts.probe.take(told),
                Some((id, outcome)) = self.performed.recv() => {
                    let update = self.conclude(id, outcome);
                    session.urgent.push_back(ToController::CommandUpdate(update));
                }
                Some(news) = self.parts.shutdown_tells.recv() => {
                    if let Some(body) = self.news_of_shutdown(news) {
                        session.tell(body);
                    }
                }
                Some(news) = self.parts.backups_tell.recv() => match self.news_of_backups(news) {
                    Some(progress @ ToController::BackupProgress(_)) => session.try_send(progress),
                    Some(body) => session.tell(body),
                    None => {}
                },
            }
        }
    }

    /// Opens a session; none if the agent is to stop meanwhile.
    async fn open(&mut self, link: &mut Link, channel: Channel) -> Result<Option<Session>, Status> {
        let (outbox, outgoing) = mpsc::channel(OUTBOX_LENGTH);
        let name = link.node_name().map_err(Status::internal)?;
        // The channel is new and empty.
        let _ = outbox.try_send(v1::AgentMessage { body: Some(ToController::Hello(self.hello(name))) });
        let mut client = SessionsClient::new(channel.clone()).max_decoding_message_size(CONTROLLER_MESSAGE_BYTES);
        let answer = async {
            let mut inbound = client.open(ReceiverStream::new(outgoing)).await?.into_inner();
            let first = inbound.message().await?.and_then(|message| message.body);
            Ok::<_, Status>((inbound, first))
        };
        let answered = tokio::select! {
            answered = timeout(ANSWER_TIMEOUT, answer) => answered,
            () = self.obey_until_stop() => return Ok(None),
        };
        let (inbound, first) = answered.map_err(|_| Status::deadline_exceeded("no welcome within 10 s"))??;
        let Some(FromController::Welcome(welcome)) = first else {
            return Err(Status::internal("the controller did not begin with a welcome"));
        };
        link.vouched(welcome.wall_unix_ms.div_euclid(1000));
        let settings = welcome.settings.unwrap_or_default();
        link.learn_endpoints(&settings.endpoints);
        let (heartbeat, sample) = rhythm(&settings)?;
        tracing::info!(heartbeat_ms = settings.heartbeat_ms, sample_ms = settings.sample_ms, "session open");
        let urgent = self.unconfirmed().into_iter().map(ToController::CommandUpdate).collect();
        let moved_ms = self.clock().monotonic_ms();
        Ok(Some(Session { channel, outbox, inbound, heartbeat, sample, urgent, sent: 0, moved_ms }))
    }

    /// Lets all go out again that the controller has not stored in time.
    async fn send_again(&mut self, session: &mut Session) {
        let now_ms = self.clock().monotonic_ms();
        if now_ms.saturating_sub(session.moved_ms) < SEND_AGAIN_MS {
            return;
        }
        session.moved_ms = now_ms;
        session.sent = 0;
        if session.urgent.is_empty() {
            session.urgent.extend(self.unconfirmed().into_iter().map(ToController::CommandUpdate));
        }
        self.happened(Event::NotStored).await;
    }

    fn has_next(&self, session: &Session) -> bool {
        !session.urgent.is_empty() || self.parts.spool.after(session.sent).is_some()
    }

    /// What is to be sent next: what is urgent, then the events in their order.
    fn take_next(&self, session: &mut Session) -> Option<ToController> {
        if let Some(urgent) = session.urgent.pop_front() {
            return Some(urgent);
        }
        let (number, kept) = self.parts.spool.after(session.sent)?;
        session.sent = number;
        session.moved_ms = self.clock().monotonic_ms();
        let event = kept.at(&self.facts.boot_id, self.clock().monotonic_ms());
        Some(ToController::Event(event.into()))
    }

    async fn take(
        &mut self,
        link: &mut Link,
        session: &mut Session,
        body: Option<FromController>,
    ) -> Result<(), Status> {
        match body {
            Some(FromController::Settings(settings)) => {
                (session.heartbeat, session.sample) = rhythm(&settings)?;
                link.learn_endpoints(&settings.endpoints);
            }
            Some(FromController::Command(wire)) => {
                let id = wire.id.clone();
                match Command::try_from(wire) {
                    Ok(command) => {
                        let id = command.id.clone();
                        let outcome = self.command(command);
                        session.urgent.push_back(ToController::CommandUpdate((id, outcome).into()));
                    }
                    Err(invalid) => {
                        let state = v1::command_update::State::Failed.into();
                        let message = invalid.to_string();
                        session.urgent.push_back(ToController::CommandUpdate(v1::CommandUpdate { id, state, message }));
                    }
                }
            }
            Some(FromController::EventsStored(stored)) => {
                let ids: Vec<EventId> = stored.ids.iter().filter_map(|id| id.parse().ok()).collect();
                self.parts.spool.stored(&ids);
                session.moved_ms = self.clock().monotonic_ms();
            }
            Some(FromController::CommandStored(stored)) => {
                if let Ok(id) = stored.id.parse() {
                    self.confirmed(&id);
                }
            }
            Some(
                power @ (FromController::Power(_)
                | FromController::Shutdown(_)
                | FromController::ShutdownAbort(_)
                | FromController::DrainEnded(_)
                | FromController::StopReportStored(_)),
            ) => match event(power) {
                Ok(event) => {
                    if let Some(told) = concerns(&event) {
                        self.backups(told).await;
                    }
                    self.happened(event).await;
                }
                Err(refused) => {
                    tracing::error!("{refused}");
                    session.urgent.extend(refused.answer());
                }
            },
            Some(FromController::PowerOffHeard(_)) => self.power_off_heard().await,
            Some(FromController::Welcome(_)) => return Err(Status::internal("a second welcome")),
            Some(
                backup @ (FromController::GivenBackupJobs(_)
                | FromController::BackupOrder(_)
                | FromController::BackupStop(_)
                | FromController::BackupReportStored(_)),
            ) => match order(backup) {
                Ok(order) => self.backups(order).await,
                Err(invalid) => tracing::error!("a message about backups cannot be taken: {invalid}"),
            },
            Some(FromController::Log(order)) => match LogOrder::try_from(order) {
                Ok(order) => self.parts.logs.answer(session.channel.clone(), order, self.clock().wall_unix_ms()),
                Err(invalid) => tracing::error!("an order to read the log cannot be taken: {invalid}"),
            },
            Some(FromController::K3s(order)) => self.parts.k3s.answer(session.channel.clone(), order),
            // A newer controller's message, which this agent does not know.
            None => tracing::debug!("a message of an unknown kind was passed over"),
        }
        Ok(())
    }

    /// Sends what waits and awaits that it is stored.
    async fn say_farewell(&mut self, session: &mut Session) {
        while let Some(body) = self.take_next(session) {
            if session.outbox.send(v1::AgentMessage { body: Some(body) }).await.is_err() {
                return;
            }
        }
        while self.parts.spool.waiting().next().is_some() {
            match session.inbound.message().await {
                Ok(Some(v1::ControllerMessage { body: Some(FromController::EventsStored(stored)) })) => {
                    let ids: Vec<EventId> = stored.ids.iter().filter_map(|id| id.parse().ok()).collect();
                    self.parts.spool.stored(&ids);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

impl Session {
    /// Lets this go out before the next event, in the place of what it supersedes.
    fn tell(&mut self, body: ToController) {
        if let ToController::ShutdownProgress(new) = &body {
            let older = |waiting: &ToController| matches!(waiting, ToController::ShutdownProgress(old) if old.order_id == new.order_id);
            self.urgent.retain(|waiting| !older(waiting));
        }
        self.urgent.push_back(body);
    }

    /// Sends what is worth sending only now. If the way is blocked, the next one will do.
    fn try_send(&self, body: ToController) {
        let _ = self.outbox.try_send(v1::AgentMessage { body: Some(body) });
    }
}

/// Renews over the open connection; whether it worked.
async fn renewed(link: &mut Link, channel: &Channel) -> bool {
    match timeout(ANSWER_TIMEOUT, link.renew(channel)).await {
        Ok(Ok(())) => true,
        Ok(Err(status)) => {
            link.renewal_failed(status.message());
            false
        }
        Err(_) => {
            link.renewal_failed("no answer within 10 s");
            false
        }
    }
}

/// The intervals that the controller asks for.
fn rhythm(settings: &v1::Settings) -> Result<(Interval, Interval), Status> {
    let every = |key: &str, ms: u32| {
        if !(100..=3_600_000).contains(&ms) {
            return Err(Status::internal(format!("the controller's {key} is {ms}, not between 100 and 3600000")));
        }
        let mut interval = interval(Duration::from_millis(ms.into()));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(interval)
    };
    Ok((every("heartbeat_ms", settings.heartbeat_ms)?, every("sample_ms", settings.sample_ms)?))
}
