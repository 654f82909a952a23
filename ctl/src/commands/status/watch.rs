//! `ctl status --watch`: the same page again and again, also while the controller is away.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::render::render_lost;
use super::{StatusReport, fetch};
use crate::clock::now;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::{Invocation, connect};
use crate::output::{Format, Report};
use crate::screen::{self, Signalled, Signals};
use crate::target::Target;

/// How often the page is drawn anew while nothing comes: its ages grow.
const REDRAW: Duration = Duration::from_secs(1);

/// What is known: the last answer, and since when and why there is none.
struct Picture {
    report: StatusReport,
    fetched: Instant,
    lost: Option<(Instant, String)>,
}

/// Watches until Ctrl-C. A controller that goes away is borne with, one that cannot be reached at first is not: a wrong
/// address must be told at once.
pub(crate) async fn run(every: Duration, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let report = fetch(&connection).await?;
    let mut idle = Some(connection);
    let mut picture = Picture { report, fetched: now(), lost: None };

    let mut signals = Signals::listen()?;
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let on_screen = screen::is_on_screen(invocation);
    if on_screen {
        screen::make_room(invocation)?;
    } else {
        invocation.show_one(&picture.report)?;
    }

    let timeout = invocation.global.timeout;
    let mut next_look = now() + every;
    // At most one look is under way; meanwhile the page is drawn on.
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            signalled = signals.next() => if signalled == Signalled::End { break },
            () = sleep_until(next_look), if looks.is_empty() => {
                next_look = now() + every;
                looks.push(look(&target, timeout, idle.take()));
            }
            Some((connection, answer)) = looks.next() => {
                idle = connection;
                let answered = picture.take(answer)?;
                if !on_screen {
                    tell(&picture, answered, invocation)?;
                }
            }
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

/// Asks once more, over the old connection if there is one.
async fn look(
    target: &Target,
    timeout: Duration,
    connection: Option<Connection>,
) -> (Option<Connection>, Result<StatusReport, CtlError>) {
    let connection = match connection {
        Some(connection) => Ok(connection),
        None => match target.again() {
            Ok(mut target) => connect(&mut target, timeout).await.map(|(connection, _)| connection),
            Err(error) => Err(error),
        },
    };
    match connection {
        Err(error) => (None, Err(error)),
        Ok(connection) => match fetch(&connection).await {
            Ok(report) => (Some(connection), Ok(report)),
            Err(error) => (None, Err(error)),
        },
    }
}

/// How the controller's silence changed.
#[derive(PartialEq, Eq)]
enum Answered {
    /// It answered.
    Yes,
    /// It has just fallen silent.
    NoLonger,
    /// It is still silent.
    StillNot,
}

impl Picture {
    /// Takes up an answer, or that there is none. To be refused is an answer that ends the watch.
    fn take(&mut self, answer: Result<StatusReport, CtlError>) -> Result<Answered, CtlError> {
        match answer {
            Ok(report) => {
                *self = Self { report, fetched: now(), lost: None };
                Ok(Answered::Yes)
            }
            Err(error) if error.status() == ExitStatus::NotAllowed => Err(error),
            Err(error) => {
                let known = self.lost.is_some();
                let since = self.lost.take().map_or_else(now, |(since, _)| since);
                self.lost = Some((since, error.message().to_owned()));
                Ok(if known { Answered::StillNot } else { Answered::NoLonger })
            }
        }
    }
}

/// Writes one report after another, for whoever reads a pipe.
fn tell(picture: &Picture, answered: Answered, invocation: &mut Invocation) -> Result<(), CtlError> {
    match (answered, &picture.lost) {
        (Answered::Yes, _) => {
            if matches!(invocation.global.output, Format::Table | Format::Wide) {
                invocation.console.data("\n")?;
            }
            invocation.show_one(&picture.report)
        }
        (Answered::NoLonger, Some((_, reason))) => {
            invocation.console.note(&format!("warning: {reason}; still trying"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Draws what is known now.
fn draw(picture: &Picture, invocation: &mut Invocation) -> Result<(), CtlError> {
    let page = screen::page(invocation);
    let report = picture.report.aged(picture.fetched.elapsed().as_secs_f64());
    let text = match &picture.lost {
        None => report.render(&page),
        Some((since, reason)) => render_lost(&report, &page, since.elapsed().as_secs(), reason),
    };
    screen::draw(&text, invocation)
}
