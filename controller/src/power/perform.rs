//! Performs what the core decided.

use std::sync::Arc;

use rackhaven_proto::model::{NodeName, Severity};
use rackhaven_proto::v1;
use rackhaven_proto::v1::controller_message::Body as ToAgent;

use super::Input;
use super::core::{Action, Context, Event};
use super::driver::Driver;
use super::record::Record;
use super::roster::wake_macs;
use crate::nut::UpsHandle;
use crate::store::{OutageRecord, OutageRow, TimelineRow};

impl Driver {
    /// Orders go out first; what is written down of them comes after.
    pub(super) fn perform(&mut self, actions: Vec<Action>, now_ms: u64, wall_ms: i64) {
        let mut tellings = Vec::new();
        let outage = self.parts.power.look(|shared| shared.core.state().outage.as_ref().map_or(0, |it| it.number));
        for action in actions {
            match action {
                Action::Order { node, order } => {
                    self.drains.goes(&node, &order, outage);
                    self.send(&node, ToAgent::Shutdown(order.into()));
                }
                Action::Abort { node, order_id } => {
                    self.drains.stays(&node, &order_id);
                    let order_id = order_id.to_string();
                    self.send(&node, ToAgent::ShutdownAbort(v1::ShutdownAbort { order_id }));
                }
                Action::Drain { node, order_id } => self.drains.drain(&node, &order_id, outage),
                Action::Heard { node, order_id } => {
                    let order_id = order_id.to_string();
                    self.send(&node, ToAgent::PowerOffHeard(v1::PowerOffHeard { order_id }));
                }
                // What is on the node itself is seen to until it is done, whoever asked for it.
                Action::Uncordon { node } => tracing::debug!(%node, "pods may come again"),
                Action::Wake { node } => self.wake(node),
                Action::Cut { delay_s } => self.cut(delay_s, now_ms, wall_ms),
                telling => tellings.push(telling),
            }
        }
        for telling in tellings {
            self.tell(telling, now_ms, wall_ms);
        }
    }

    /// Sends a node a message if it has a session; what must arrive is said again by the core.
    fn send(&self, node: &NodeName, body: ToAgent) {
        if let Some(outbox) = self.parts.registry.outbox(node) {
            outbox.try_send(body);
        }
    }

    fn wake(&self, node: NodeName) {
        let (now_ms, wall_ms) = (self.parts.clock.monotonic_ms(), self.parts.clock.wall_ms());
        let Some(view) = self.parts.registry.view(&node, now_ms, wall_ms) else { return };
        let config = self.parts.config.load_full();
        let addresses = wake_macs(&config.power, &view);
        if addresses.is_empty() {
            return tracing::warn!(%node, "cannot be woken: it has told no address");
        }
        tokio::spawn(async move {
            for error in crate::wake::wake(&addresses, &config.power.wake_addresses).await {
                tracing::warn!(%node, error, "a wake-up could not be sent");
            }
        });
    }

    /// Tells all UPSes that can to cut the load; how that went comes back as an event.
    fn cut(&self, delay_s: u32, now_ms: u64, wall_ms: i64) {
        let config = self.parts.config.load_full();
        let able: Vec<bool> = self.parts.power.look(|shared| {
            let context = Context { policy: &config.power.policy, roster: &shared.roster, now_ms, wall_ms };
            shared.core.state().upses.iter().map(|ups| shared.core.cut_delay_s(&context, ups).is_some()).collect()
        });
        let inputs = self.parts.power.inputs.clone();
        tokio::spawn(async move {
            let mut told = false;
            let mut messages = Vec::new();
            for (ups, _) in config.power.upses.iter().zip(able).filter(|(_, able)| *able) {
                let name = &ups.address;
                match UpsHandle::new(Arc::new(ups.clone())).cut(Some(delay_s)).await {
                    Ok(done) => {
                        told = true;
                        messages.push(format!("{name} took {}", done.commands.join(", ")));
                    }
                    Err(error) => messages.push(format!("{name}: {error}")),
                }
            }
            let message = messages.join("; ");
            // The driver ends with the controller only.
            let _ = inputs.send(Input::Event(Event::CutEnded { told, message })).await;
        });
    }

    fn tell(&mut self, telling: Action, now_ms: u64, wall_ms: i64) {
        match telling {
            Action::Begun { number, kind } => {
                // Told again after a restart; it began when it began.
                self.begun.entry(number).or_insert(now_ms);
                let kind = kind.as_str().to_owned();
                let row = OutageRow { number, kind, cause: String::new(), begun_ms: wall_ms, ended_ms: None };
                self.recorder.put(Record::Outage(OutageRecord::Begun(row)));
            }
            Action::Ended { number, cause } => {
                let cause = cause.map(|cause| cause.to_string()).unwrap_or_default();
                self.recorder.put(Record::Outage(OutageRecord::Ended { number, cause, wall_ms }));
                self.drains.end();
            }
            Action::Tell { outage, node, kind, severity, message } => {
                if outage > 0 {
                    let at_ms = self.begun.get(&outage).map_or(0, |begun_ms| now_ms.saturating_sub(*begun_ms));
                    let about = node.as_ref().map(ToString::to_string).unwrap_or_default();
                    let message = message.clone();
                    let row = TimelineRow { outage, at_ms, wall_ms, node: about, kind: kind.to_owned(), message };
                    self.line(row.clone());
                    self.recorder.put(Record::Outage(OutageRecord::Line(row)));
                }
                if is_event(kind, severity) {
                    self.recorder.put(Record::Event { node, kind, severity, message });
                }
            }
            _ => {}
        }
    }
}

/// What stands in the timeline is told as an event too where it is about the fleet, or not as it should be.
fn is_event(kind: &str, severity: Severity) -> bool {
    severity != Severity::Info || !kind.starts_with("node.") && !kind.starts_with("stage.")
}
