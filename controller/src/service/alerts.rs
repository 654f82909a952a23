use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::{hex, random};
use rackhaven_proto::Invalid;
use rackhaven_proto::v1;
use rackhaven_proto::v1::alerts_server::Alerts;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::{bad_input, store_failed, verdict_line};
use crate::alerts::channel::{Channel, SendLimits};
use crate::alerts::core::{Alert, Alerts as Look, Matcher, Phase, Silence};
use crate::alerts::{Ask, test_notification};
use crate::core::Core;
use crate::net::{CallContext, call_context};
use crate::store::AlertTurn;

/// Longest reason or name of an alert, bytes.
const MAX_TEXT_BYTES: usize = 512;
/// Most matchers of a silence.
const MAX_MATCHERS: usize = 16;
/// Longest silence, seconds: 30 days.
const MAX_SILENCE_S: u32 = 30 * 24 * 3600;
/// Turns that are told at once, and at most.
const LIMITS: (u32, u32) = (100, 10_000);
/// Most alerts in the fleet's status.
const MOST_IN_STATUS: usize = 100;
/// Most alerts in a list.
const MOST_LISTED: usize = 5000;
/// How long a test may take.
const TEST_LIMIT: Duration = Duration::from_secs(15);

/// Alerts, as people see and answer them.
pub(super) struct AlertService {
    core: Arc<Core>,
}

impl AlertService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    async fn audit(&self, context: &CallContext, action: &str, target: &str) -> Result<(), Status> {
        let entry = self.core.audit_entry(&context.caller, &context.origin, action, target, "ok");
        self.core.store.audit(entry).await.map_err(store_failed)
    }

    /// Asks the driver, and waits until it is on the disk.
    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Ask) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        self.core.alerts.ask(make(reply)).await;
        let answer = answer.await.map_err(|_| Status::unavailable("the controller ends"))?;
        answer.map_err(|reason| Status::internal(format!("it could not be written down: {reason}")))
    }
}

/// What fires, for the fleet's status.
pub(super) fn firing(core: &Core, wall_ms: i64) -> Vec<v1::Alert> {
    let look = core.alerts.look();
    look.firing().into_iter().take(MOST_IN_STATUS).map(|alert| wire(&look, alert, wall_ms)).collect()
}

fn wire(look: &Look, alert: &Alert, wall_ms: i64) -> v1::Alert {
    let of_node = alert.node.is_some();
    v1::Alert {
        key: alert.key.to_string(),
        rule: alert.key.rule.to_string(),
        severity: v1::Severity::from(alert.severity).into(),
        summary: alert.text.clone(),
        advice: alert.key.rule.shipped().advice.to_owned(),
        node: alert.node.clone().unwrap_or_default(),
        instance: if of_node { alert.key.instance.clone() } else { alert.key.subject.clone() },
        value: alert.value,
        since_unix_ms: alert.since_unix_ms,
        firing: alert.phase == Phase::Firing,
        silenced: look.is_silenced(alert, wall_ms),
        acknowledged_by: alert.acked.as_ref().map(|ack| ack.by.clone()).unwrap_or_default(),
        told: alert.open,
    }
}

fn silence_wire(silence: &Silence) -> v1::AlertSilence {
    v1::AlertSilence {
        id: silence.id,
        matchers: silence.matchers.iter().map(ToString::to_string).collect(),
        until_unix_ms: silence.until_unix_ms,
        by: silence.by.clone(),
        reason: silence.reason.clone(),
    }
}

/// Text of a caller that goes into the record.
fn plain(field: &str, text: &str) -> Result<(), Status> {
    if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
        let reason = format!("is longer than {MAX_TEXT_BYTES} bytes, or holds a control character");
        return Err(bad_input(Invalid::new(field, reason)));
    }
    Ok(())
}

async fn test(core: &Core, channel: &Channel, who: &str) -> v1::ChannelTest {
    let begun_ms = core.clock.monotonic_ms();
    let failure = match random::<16>() {
        Err(_) => "no randomness for the message's id".to_owned(),
        Ok(bytes) => {
            let id = format!("t-{}", hex(&bytes));
            let wall_ms = core.clock.wall_ms();
            let message = test_notification(id, &core.cluster.name, who, wall_ms, verdict_line(core));
            let sent = channel.send(&message, &SendLimits { timeout: TEST_LIMIT }).await;
            sent.err().map(|error| error.to_string()).unwrap_or_default()
        }
    };
    let took_ms = core.clock.monotonic_ms().saturating_sub(begun_ms);
    v1::ChannelTest { channel: channel.name().to_owned(), failure, took_ms }
}

#[tonic::async_trait]
impl Alerts for AlertService {
    async fn list(&self, _: Request<v1::ListAlertsRequest>) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let (look, wall_ms) = (self.core.alerts.look(), self.core.clock.wall_ms());
        let pending = look.all().filter(|alert| alert.phase == Phase::Pending);
        let alerts = look.firing().into_iter().chain(pending).take(MOST_LISTED);
        let config = self.core.config.load();
        Ok(Response::new(v1::ListAlertsResponse {
            alerts: alerts.map(|alert| wire(&look, alert, wall_ms)).collect(),
            silences: look
                .silences()
                .iter()
                .filter(|silence| silence.until_unix_ms > wall_ms)
                .map(silence_wire)
                .collect(),
            channels: config.alerts.channels.iter().map(|channel| channel.name().to_owned()).collect(),
            wall_unix_ms: wall_ms,
        }))
    }

    async fn list_history(
        &self,
        request: Request<v1::ListAlertHistoryRequest>,
    ) -> Result<Response<v1::ListAlertHistoryResponse>, Status> {
        let request = request.into_inner();
        plain("key", &request.key)?;
        let limit = if request.limit == 0 { LIMITS.0 } else { request.limit.min(LIMITS.1) };
        let turns = self.core.store.alert_turns(request.key, limit).await.map_err(store_failed)?;
        let wire = |turn: AlertTurn| v1::AlertTurn {
            wall_unix_ms: turn.wall_ms,
            key: turn.key,
            kind: turn.kind,
            severity: v1::Severity::from(turn.severity).into(),
            who: turn.who,
            message: turn.message,
        };
        Ok(Response::new(v1::ListAlertHistoryResponse { turns: turns.into_iter().map(wire).collect() }))
    }

    async fn ack(&self, request: Request<v1::AckAlertRequest>) -> Result<Response<v1::AckAlertResponse>, Status> {
        let context = call_context(&request)?;
        let key = request.into_inner().key;
        plain("key", &key)?;
        let none = || Status::not_found(format!("no alert {key:?} fires; ctl alerts list shows what does"));
        let fires = self.core.alerts.look().firing().iter().any(|alert| alert.key.to_string() == key);
        if !fires {
            return Err(none());
        }
        self.audit(&context, "Alerts/Ack", &key).await?;
        let by = context.caller.to_string();
        let acked = self.ask(|reply| Ask::Acknowledge(key.clone(), by, reply)).await?.ok_or_else(none)?;
        let look = self.core.alerts.look();
        Ok(Response::new(v1::AckAlertResponse { alert: Some(wire(&look, &acked, self.core.clock.wall_ms())) }))
    }

    async fn silence(&self, request: Request<v1::SilenceAlertsRequest>) -> Result<Response<v1::AlertSilence>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        plain("reason", &request.reason)?;
        if request.matchers.is_empty() || request.matchers.len() > MAX_MATCHERS {
            let reason = format!("holds {}, and must hold 1 to {MAX_MATCHERS}", request.matchers.len());
            return Err(bad_input(Invalid::new("matchers", reason)));
        }
        if request.for_seconds == 0 || request.for_seconds > MAX_SILENCE_S {
            let reason = format!("{} is not between 1 and {MAX_SILENCE_S} (30 days)", request.for_seconds);
            return Err(bad_input(Invalid::new("for_seconds", reason)));
        }
        let matchers = request
            .matchers
            .iter()
            .map(|text| text.parse::<Matcher>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(bad_input)?;
        let target = format!("{} for {} s", request.matchers.join(" "), request.for_seconds);
        self.audit(&context, "Alerts/Silence", &target).await?;
        let until_ms = self.core.clock.wall_ms().saturating_add(i64::from(request.for_seconds) * 1000);
        let by = context.caller.to_string();
        let silence = self.ask(|reply| Ask::Silence(matchers, until_ms, by, request.reason, reply)).await?;
        Ok(Response::new(silence_wire(&silence)))
    }

    async fn unsilence(
        &self,
        request: Request<v1::UnsilenceAlertsRequest>,
    ) -> Result<Response<v1::UnsilenceAlertsResponse>, Status> {
        let context = call_context(&request)?;
        let id = request.into_inner().id;
        self.audit(&context, "Alerts/Unsilence", &format!("silence {id}")).await?;
        let by = context.caller.to_string();
        if !self.ask(|reply| Ask::Unsilence(id, by, reply)).await? {
            return Err(Status::not_found(format!("there is no silence {id}; ctl alerts list shows them")));
        }
        Ok(Response::new(v1::UnsilenceAlertsResponse {}))
    }

    async fn test(&self, request: Request<v1::TestAlertsRequest>) -> Result<Response<v1::TestAlertsResponse>, Status> {
        let context = call_context(&request)?;
        let names = request.into_inner().channels;
        let config = self.core.config.load_full();
        let channels = &config.alerts.channels;
        if let Some(unknown) = names.iter().find(|name| channels.iter().all(|channel| channel.name() != name.as_str()))
        {
            return Err(Status::not_found(format!("there is no channel {unknown:?} in controller.toml")));
        }
        let meant: Vec<_> = channels
            .iter()
            .filter(|channel| names.is_empty() || names.iter().any(|name| name == channel.name()))
            .collect();
        let target = meant.iter().map(|channel| channel.name()).collect::<Vec<_>>().join(" ");
        self.audit(&context, "Alerts/Test", &target).await?;
        let who = context.caller.to_string();
        let tests = meant.iter().map(|channel| test(&self.core, channel, &who));
        Ok(Response::new(v1::TestAlertsResponse { tests: futures_util::future::join_all(tests).await }))
    }
}
