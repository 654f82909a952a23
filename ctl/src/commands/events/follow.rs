//! `ctl events --follow`: over every lost connection, without loss or repetition.

use std::time::Duration;

use rackhaven_proto::v1::ListEventsRequest;
use tokio::time::sleep;

use super::report::{EventReport, columns};
use crate::clock::now;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::{Invocation, connect};
use crate::output::Format;
use crate::table::Growing;
use crate::target::Target;

/// Waits between two tries to connect again: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Most past events that a controller tells at once.
const MOST_EVENTS: u32 = 10_000;

/// Follows until Ctrl-C. A connection that is lost is made anew; one that cannot be made at first is an error.
pub(super) async fn run(request: ListEventsRequest, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let mut listing = Listing { request, lines: None };
    let mut lost = tokio::select! {
        lost = listing.read(&connection, invocation) => lost?,
        _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Fine),
    };
    drop(connection);
    let mut wait = BACK_OFF.0;
    loop {
        invocation.console.note(&format!("warning: {}; connecting again", lost.message()));
        let connected = now();
        lost = tokio::select! {
            lost = listing.read_again(&target, &mut wait, invocation) => lost?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Fine),
        };
        if connected.elapsed() > BACK_OFF.1 * 2 {
            wait = BACK_OFF.0;
        }
    }
}

/// What was asked for, and how far it was shown.
struct Listing {
    request: ListEventsRequest,
    lines: Option<Growing>,
}

impl Listing {
    /// Connects again, however long that takes, and shows what has come meanwhile and then comes.
    async fn read_again(
        &mut self,
        target: &Target,
        wait: &mut Duration,
        invocation: &mut Invocation,
    ) -> Result<CtlError, CtlError> {
        loop {
            sleep(*wait).await;
            *wait = (*wait * 2).min(BACK_OFF.1);
            match connect(&mut target.again()?, invocation.global.timeout).await {
                Ok((connection, _)) => return self.read(&connection, invocation).await,
                Err(error) => survivable(error)?,
            };
        }
    }

    /// Shows events until the connection is lost; why it was is no error here.
    async fn read(&mut self, connection: &Connection, invocation: &mut Invocation) -> Result<CtlError, CtlError> {
        let mut stream = match connection.answer(connection.events().list(self.request.clone())).await {
            Ok(stream) => stream,
            Err(error) => return survivable(error),
        };
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    // The rest is wanted whole: what came while the connection was lost has no limit of its own.
                    self.request.after_position = self.request.after_position.max(event.position);
                    self.request.limit = MOST_EVENTS;
                    let report = EventReport::new(event).map_err(|invalid| CtlError::strange_answer(&invalid))?;
                    self.show(&report, invocation)?;
                }
                Ok(None) => return Ok(CtlError::unreachable("the controller has ended the stream")),
                Err(status) => return survivable(connection.refused(&status)),
            }
        }
    }

    fn show(&mut self, report: &EventReport, invocation: &mut Invocation) -> Result<(), CtlError> {
        if matches!(invocation.global.output, Format::Json | Format::Yaml) {
            return invocation.show_one(report);
        }
        let page = invocation.page();
        let mut text = String::new();
        let lines = self.lines.get_or_insert_with(|| {
            let lines = Growing::new(columns(&page));
            text = lines.titles(page.columns, page.colour) + "\n";
            lines
        });
        text += &lines.line(&report.cells(&page), page.columns, page.colour);
        invocation.draw(text + "\n")
    }
}

/// Only a controller that is away is waited for.
fn survivable(error: CtlError) -> Result<CtlError, CtlError> {
    if error.status() == ExitStatus::Unreachable { Ok(error) } else { Err(error) }
}
