//! What the controller and the node's way down say to one another.

use std::fmt;

use rackhaven_proto::Invalid;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as ToController;
use rackhaven_proto::v1::controller_message::Body as FromController;
use rackhaven_proto::v1::shutdown_progress::State;

use super::Node;
use crate::shutdown::{Event, FromShutdown, ToShutdown};

/// Longest text of a failed drain that is taken, in characters.
const MAX_FAILURE_CHARS: usize = 200;

/// A message that cannot be obeyed.
#[derive(Debug)]
pub(super) struct Refused {
    order_id: String,
    invalid: Invalid,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message about power cannot be taken: {}", self.invalid)
    }
}

impl Refused {
    /// What the controller is told, if it was an order.
    pub(super) fn answer(self) -> Option<ToController> {
        let progress = v1::ShutdownProgress {
            state: State::Failed.into(),
            message: self.invalid.to_string(),
            order_id: self.order_id,
            ..v1::ShutdownProgress::default()
        };
        (!progress.order_id.is_empty()).then_some(ToController::ShutdownProgress(progress))
    }
}

/// What happened, by a message of the controller.
pub(super) fn event(body: FromController) -> Result<Event, Refused> {
    let of = |order_id: &str| {
        let order_id = order_id.to_owned();
        move |invalid| Refused { order_id, invalid }
    };
    match body {
        FromController::Power(wire) => wire.try_into().map(Event::Notice).map_err(of("")),
        FromController::Shutdown(wire) => {
            let refused = of(&wire.order_id);
            wire.try_into().map(Event::Order).map_err(refused)
        }
        FromController::ShutdownAbort(wire) => wire.order_id.parse().map(Event::Abort).map_err(of("")),
        FromController::DrainEnded(wire) => {
            let order_id = wire.order_id.parse().map_err(of(""))?;
            let failure = wire.failure.chars().filter(|c| !c.is_control()).take(MAX_FAILURE_CHARS).collect();
            Ok(Event::DrainEnded { order_id, failure })
        }
        FromController::StopReportStored(wire) => Ok(Event::ReportStored(wire.boot_id)),
        _ => Ok(Event::Tick),
    }
}

impl Node {
    /// Tells the node's way down what happened.
    pub(super) async fn happened(&mut self, event: Event) {
        // It is gone only when the agent ends.
        let _ = self.parts.shutdown.send(ToShutdown::Event(event)).await;
    }

    /// The controller has understood that this machine goes off.
    pub(super) async fn power_off_heard(&mut self) {
        // It is gone only when the agent ends.
        let _ = self.parts.shutdown.send(ToShutdown::PowerOffHeard).await;
    }

    /// Takes what the node's way down tells; what of it is for the controller.
    pub(super) fn news_of_shutdown(&mut self, news: FromShutdown) -> Option<ToController> {
        match news {
            FromShutdown::Tell(progress) => Some(ToController::ShutdownProgress(progress.into())),
            FromShutdown::Report(report) => Some(ToController::StopReport(report.into())),
            FromShutdown::Note { kind, severity, message } => {
                self.note(kind, severity, &message);
                None
            }
        }
    }
}
