//! Follows the timeline of a shutdown or a drill to its end, also over lost connections.

use std::time::Duration;

use rackhaven_proto::v1::{ListOutagesRequest, OutageEvent};
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use super::outage::TimelineEvent;
use super::summary::last_shade;
use super::timeline::{EventLines, Shade};
use crate::clock::now;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::{Invocation, connect};
use crate::output::{Format, Page, Report};
use crate::screen::Signals;
use crate::target::Target;

/// Waits between two tries to hear of it again: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));
/// For so long a controller that has gone away is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// How the following ended.
#[derive(Debug)]
pub(super) enum End {
    /// All that was wanted has happened, or will not happen any more.
    Through,
    /// The controller went down with its own machine, as it was told to.
    MasterGone,
    /// Ctrl-C: it goes on without being followed.
    Left,
}

/// One shutdown or drill that is followed.
pub(super) struct Following<'a> {
    /// Which nodes it is for.
    pub(super) nodes: Vec<String>,
    /// The one among them that the controller runs on.
    pub(super) master: Option<String>,
    /// What was heard so far.
    pub(super) events: Vec<TimelineEvent>,
    lines: Option<EventLines>,
    target: &'a Target,
}

impl<'a> Following<'a> {
    /// Nothing heard yet.
    pub(super) fn new(nodes: Vec<String>, master: Option<String>, target: &'a Target) -> Self {
        Self { nodes, master, events: Vec::new(), lines: None, target }
    }

    /// The outage's number, as soon as it was told.
    pub(super) fn number(&self) -> Option<u64> {
        self.events.first().map(|event| event.outage)
    }

    /// Shows what comes until the end or Ctrl-C. Who calls this listens for signals before the order is given, so that
    /// nobody is left without a word about what goes on.
    pub(super) async fn run(
        &mut self,
        stream: Streaming<OutageEvent>,
        connection: Connection,
        mut signals: Signals,
        invocation: &mut Invocation,
    ) -> Result<End, CtlError> {
        tokio::select! {
            end = self.hear(stream, connection, invocation) => end,
            () = signals.end() => Ok(End::Left),
        }
    }

    async fn hear(
        &mut self,
        mut stream: Streaming<OutageEvent>,
        connection: Connection,
        invocation: &mut Invocation,
    ) -> Result<End, CtlError> {
        let lost = loop {
            match stream.message().await {
                Ok(Some(event)) => self.take(TimelineEvent::new(&event), invocation)?,
                Ok(None) if self.master_has_gone() => return Ok(End::MasterGone),
                Ok(None) => return Ok(End::Through),
                Err(status) => break connection.refused(&status),
            }
        };
        drop(connection);
        self.hear_again(lost, invocation).await
    }

    /// Asks for the rest of the timeline, over new connections.
    async fn hear_again(&mut self, mut lost: CtlError, invocation: &mut Invocation) -> Result<End, CtlError> {
        let since = now();
        let mut wait = BACK_OFF.0;
        let mut told = false;
        loop {
            if lost.status() != ExitStatus::Unreachable {
                return Err(lost);
            }
            if self.master_has_gone() {
                return Ok(End::MasterGone);
            }
            let Some(number) = self.number().filter(|_| since.elapsed() < PATIENCE) else {
                return Err(
                    lost.hint("it goes on without ctl: see `ctl power status`, or end it with `ctl power abort`")
                );
            };
            if !std::mem::replace(&mut told, true) {
                invocation
                    .console
                    .note(&format!("warning: {}; it goes on meanwhile; connecting again", lost.message()));
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
            lost = match self.ask_on(number, invocation).await {
                Ok(()) => return Ok(End::Through),
                Err(error) => error,
            };
        }
    }

    /// Over one new connection, until all nodes are through.
    async fn ask_on(&mut self, number: u64, invocation: &mut Invocation) -> Result<(), CtlError> {
        let (connection, _) = connect(&mut self.target.again()?, invocation.global.timeout).await?;
        loop {
            let asked: Instant = now();
            let request = ListOutagesRequest { limit: 1, number, with_drills: true };
            let response = connection.answer(connection.power().list_outages(request)).await?;
            let outage = response.outages.first().ok_or_else(|| {
                CtlError::failed(format!("the controller no longer knows of outage {number}"))
                    .hint("see `ctl power history --drills`")
            })?;
            for event in outage.events.iter().skip(self.events.len()) {
                self.take(TimelineEvent::new(event), invocation)?;
            }
            if outage.ended_unix_ms.is_some() || self.nodes.iter().all(|node| self.is_through(node)) {
                return Ok(());
            }
            tokio::time::sleep_until(asked + BACK_OFF.0 * 2).await;
        }
    }

    fn is_through(&self, node: &str) -> bool {
        !matches!(last_shade(node, &self.events), Shade::Running | Shade::Stopping | Shade::PoweringOff)
    }

    /// Whether the controller's own machine was told to go: from then on its silence is what was asked for.
    fn master_has_gone(&self) -> bool {
        let ordered = |event: &TimelineEvent| match event.kind.as_str() {
            "master.ordered" => true,
            "node.ordered" => event.node.as_ref().map(crate::text::Text::as_str) == self.master.as_deref(),
            _ => false,
        };
        self.master.as_ref().is_some_and(|master| {
            self.events.iter().any(ordered) && !matches!(last_shade(master, &self.events), Shade::Back | Shade::Failed)
        })
    }

    fn take(&mut self, event: TimelineEvent, invocation: &mut Invocation) -> Result<(), CtlError> {
        self.show(&event, invocation)?;
        self.events.push(event);
        Ok(())
    }

    fn show(&mut self, event: &TimelineEvent, invocation: &mut Invocation) -> Result<(), CtlError> {
        if matches!(invocation.global.output, Format::Json | Format::Yaml) {
            return invocation.show_one(event);
        }
        let page = invocation.page();
        let mut text = String::new();
        let lines = self.lines.get_or_insert_with(|| {
            let lines = EventLines::new();
            text = lines.titles(&page);
            lines
        });
        text += &lines.line(event, &page);
        invocation.draw(text)
    }
}

impl Report for TimelineEvent {
    fn render(&self, page: &Page) -> String {
        EventLines::new().line(self, page)
    }
}
