//! `ctl power status --watch`: each change as it comes, also over lost connections.

use std::time::Duration;

use rackhaven_proto::v1::{PowerStatus, WatchPowerRequest};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::headline::headline;
use super::render::render_lost;
use super::report::PowerReport;
use super::status::fetch;
use crate::clock::now;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::{Invocation, connect};
use crate::output::{Format, Report};
use crate::screen::{self, Signalled, Signals};
use crate::style::Style;
use crate::target::Target;

/// How often the page is drawn anew while nothing comes: its ages grow.
const REDRAW: Duration = Duration::from_millis(500);
/// A stream that is silent for so long is asked beside: on mains little changes, and a connection may be dead.
const SILENCE: Duration = Duration::from_secs(3);
/// Waits between two tries to connect again: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));

/// What the controller says, or that it cannot be heard.
type Heard = Result<PowerReport, CtlError>;

/// What is known: the last report, and since when and why there is no newer one.
struct Picture {
    report: PowerReport,
    heard: Instant,
    lost: Option<(Instant, String)>,
}

/// Watches until Ctrl-C. A controller that goes away is borne with, one that cannot be reached at first is not.
pub(super) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let mut picture = Picture { report: fetch(&connection).await?, heard: now(), lost: None };

    let mut signals = Signals::listen()?;
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let on_screen = screen::is_on_screen(invocation);
    let mut told = Told::default();
    match on_screen {
        true => screen::make_room(invocation)?,
        false => told.tell(&picture, invocation)?,
    }

    let (sender, mut heard) = mpsc::channel(1);
    let hearing = hear(&target, connection, invocation.global.timeout, sender);
    tokio::pin!(hearing);
    loop {
        tokio::select! {
            signalled = signals.next() => if signalled == Signalled::End { break },
            Some(heard) = heard.recv() => {
                picture.take(heard)?;
                if !on_screen {
                    told.tell(&picture, invocation)?;
                }
            }
            () = &mut hearing => break,
            _ = redraw.tick(), if on_screen => {}
        }
        if on_screen {
            draw(&picture, invocation)?;
        }
    }
    if on_screen {
        invocation.console.data("\n")?;
    }
    Ok(ExitStatus::Fine)
}

/// Hands on what the controller says, over one connection after another, until nobody listens.
async fn hear(target: &Target, first: Connection, limit: Duration, sender: mpsc::Sender<Heard>) {
    let mut connection = Ok(first);
    let mut wait = BACK_OFF.0;
    loop {
        let lost = match connection {
            Ok(connection) => {
                let since = now();
                let lost = hear_over(&connection, &sender).await;
                if since.elapsed() > BACK_OFF.1 {
                    wait = BACK_OFF.0;
                }
                lost
            }
            Err(error) => error,
        };
        if sender.send(Err(lost)).await.is_err() {
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
        connection = match target.again() {
            Ok(mut target) => connect(&mut target, limit).await.map(|(connection, _)| connection),
            Err(error) => Err(error),
        };
    }
}

/// The same over one connection, until that is lost, and why it was.
async fn hear_over(connection: &Connection, sender: &mpsc::Sender<Heard>) -> CtlError {
    let mut stream = match connection.answer(connection.power().watch(WatchPowerRequest {})).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    loop {
        let heard = match timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(status))) => understood(status),
            Ok(Ok(None)) => return CtlError::unreachable("the controller has ended the stream"),
            Ok(Err(status)) => return connection.refused(&status),
            Err(_) => fetch(connection).await,
        };
        match heard {
            Err(error) => return error,
            Ok(report) => {
                if sender.send(Ok(report)).await.is_err() {
                    return CtlError::reader_gone();
                }
            }
        }
    }
}

fn understood(status: PowerStatus) -> Heard {
    PowerReport::new(status).map_err(|invalid| CtlError::strange_answer(&invalid))
}

impl Picture {
    /// Takes up what was heard. Only a controller that is away is borne with.
    fn take(&mut self, heard: Heard) -> Result<(), CtlError> {
        match heard {
            Ok(report) => *self = Self { report, heard: now(), lost: None },
            Err(error) if error.status() == ExitStatus::Unreachable => {
                let since = self.lost.take().map_or_else(now, |(since, _)| since);
                self.lost = Some((since, error.message().to_owned()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What was told into a pipe last: a line for each change, not for each second.
#[derive(Default)]
struct Told {
    line: String,
    lost: bool,
}

impl Told {
    fn tell(&mut self, picture: &Picture, invocation: &mut Invocation) -> Result<(), CtlError> {
        if let Some((_, reason)) = &picture.lost {
            if !std::mem::replace(&mut self.lost, true) {
                invocation.console.note(&format!("warning: {reason}; still trying"));
            }
            return Ok(());
        }
        self.lost = false;
        if matches!(invocation.global.output, Format::Json | Format::Yaml) {
            return invocation.show_one(&picture.report);
        }
        let change = picture.report.change();
        if std::mem::replace(&mut self.line, change.clone()) == change {
            return Ok(());
        }
        let page = invocation.page();
        let time = picture.report.time.as_ref().map(|time| page.zone.full(time)).unwrap_or_default();
        let (style, text) = headline(&picture.report);
        let line = format!("{}  {}\n", Style::Dim.paint(&time, page.colour), style.paint(&text, page.colour));
        invocation.draw(line)
    }
}

/// Draws what is known now.
fn draw(picture: &Picture, invocation: &mut Invocation) -> Result<(), CtlError> {
    let page = screen::page(invocation);
    let report = picture.report.aged(picture.heard.elapsed().as_secs_f64());
    let text = match &picture.lost {
        None => report.render(&page),
        Some((since, reason)) => {
            // What became of the nodes since then is not known: their bars end there.
            let report = PowerReport { wall_unix_ms: picture.report.wall_unix_ms, ..report };
            render_lost(&report, &page, since.elapsed().as_secs(), reason)
        }
    };
    screen::draw(&text, invocation)
}
