//! The loop: keys, signals, answers and time in; frames and questions out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::sys::signal::{Signal, raise};
use ratatui::buffer::Buffer;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::draw::frame;
use super::guard::Guarded;
use super::ink::{Ink, changes};
use super::keys::Keyboard;
use super::poll::{acknowledge, ask, look};
use super::signals::{Signalled, Signals};
use super::tty::{Hold, Keys, Tty};
use super::update::Effect;
use super::view::{Link, Question, View};
use crate::clock::now;
use crate::commands::node::Selector;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::Page;
use crate::style::Style;

/// How often the screen is drawn anew while nothing comes: its ages grow.
const REDRAW: Duration = Duration::from_secs(1);
/// An escape that nothing follows for so long is the key of that name; over a slow line a sequence may come in parts.
const ESCAPE: Duration = Duration::from_millis(100);
/// How long after a look that failed the next one is tried at the latest.
const RETRY: Duration = Duration::from_secs(2);
/// The screen of a terminal that does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// Draws until it is to end. A controller that goes away is borne with, one that cannot be reached at first is not: a
/// wrong address must be told at once, on the screen as it was.
pub(super) async fn run(
    every: Duration,
    selector: Selector,
    guarded: Guarded,
    invocation: &mut Invocation,
) -> Result<ExitStatus, CtlError> {
    let mut target = invocation.target()?;
    let connection = invocation.connect_to(&mut target).await?;
    let answer = ask(&connection, &Question::default(), &selector).await?;
    let mut idle = Some(connection);

    let timeout = invocation.global.timeout;
    let page = invocation.page();
    let term = invocation.environment.term.as_deref().unwrap_or_default();
    let ink = Ink { colour: page.colour && has_colours(term), ascii: page.ascii };
    let mut view = View::new(answer, every, size(invocation), Page { colour: true, wide: false, ..page });
    let start = now();
    let time = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);

    let tty = Arc::new(Tty::open()?);
    let mut signals = Signals::listen()?;
    let keys = Keys::open()?;
    let mut keyboard = Keyboard::default();
    let hold = Hold::take(&tty)?;

    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next_look = now() + every;
    // Asked for by a key: also in a pause.
    let mut wanted = false;
    let mut escape_ends: Option<Instant> = None;
    // At most one look and one acknowledgement are under way; meanwhile the screen is drawn on.
    let (mut looks, mut acknowledgements) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut shown: Option<Buffer> = None;
    loop {
        let mut inputs = Vec::new();
        let mut suspend = false;
        tokio::select! {
            signalled = signals.next() => match signalled {
                Signalled::End => break,
                Signalled::Stop => suspend = true,
                Signalled::GoOn => {
                    tty.enter()?;
                    shown = None;
                }
                Signalled::Resize => shown = None,
            },
            bytes = keys.read() => match bytes {
                Some(bytes) => inputs = keyboard.take(&bytes),
                None => break,
            },
            () = sleep_until(escape_ends.unwrap_or(next_look)), if escape_ends.is_some() => {
                inputs.extend(keyboard.rest());
            }
            () = sleep_until(next_look), if looks.is_empty() && (wanted || !view.paused) => {
                (next_look, wanted) = (now() + view.every, false);
                view.asked_ms = Some(time());
                looks.push(look(&target, timeout, idle.take(), view.question(), &selector));
            }
            Some((connection, answer)) = looks.next() => {
                idle = connection;
                match answer {
                    Ok(answer) => view.answer(answer, time()),
                    // To be refused is an answer that ends it.
                    Err(error) if error.status() == ExitStatus::NotAllowed => return Err(error),
                    Err(error) => {
                        // A connection that has died over night says nothing of the controller.
                        let wait = if view.link == Link::Answers { Duration::ZERO } else { RETRY.min(view.every) };
                        next_look = now() + wait;
                        view.lost(error.message().to_owned(), time());
                    }
                }
                // It was opened while this answer was on its way.
                if view.awaits_node() {
                    (next_look, wanted) = (now(), true);
                }
            }
            Some((key, outcome)) = acknowledgements.next() => {
                let outcome: Result<(), CtlError> = outcome;
                match outcome {
                    Ok(()) => view.say(Style::Good, format!("acknowledged {key}"), time()),
                    Err(error) => {
                        view.say(Style::Bad, format!("not acknowledged: {}", error.message()), time());
                    }
                }
                (next_look, wanted) = (now(), true);
            }
            _ = redraw.tick() => {
                match tty.is_ours() {
                    Ok(true) => {}
                    // Somebody else has it: a shell, since our guard was stopped.
                    Ok(false) => suspend = true,
                    Err(_) => break,
                }
            }
        }
        escape_ends = keyboard.is_waiting().then(|| now() + ESCAPE);
        let mut end = false;
        for input in inputs {
            match view.input(input, time()) {
                None => {}
                Some(Effect::End) => end = true,
                Some(Effect::Suspend) => suspend = true,
                Some(Effect::Look) => (next_look, wanted) = (now(), true),
                Some(Effect::Redraw) => shown = None,
                Some(Effect::Acknowledge(key)) if acknowledgements.is_empty() => {
                    acknowledgements.push(acknowledge(&target, timeout, key));
                }
                Some(Effect::Acknowledge(_)) => {
                    view.say(Style::Warn, "not acknowledged: another one is under way", time());
                }
            }
        }
        if end {
            break;
        }
        if suspend {
            tty.leave();
            // The guard sees it, and stops for the shell.
            raise(Signal::SIGSTOP).map_err(|error| CtlError::failed(format!("stopping: {error}")))?;
            tty.enter()?;
            shown = None;
        }
        view.size = size(invocation);
        view.settle();
        let next = frame(&view, time());
        let bytes = changes(shown.as_ref(), &next, ink);
        if !bytes.is_empty() {
            invocation.console.data(&bytes)?;
        }
        shown = Some(next);
    }
    drop(hold);
    if !guarded.is_guarded() {
        invocation.console.note("ctl top: the process that guards the terminal was killed; press Enter for a prompt");
    }
    Ok(ExitStatus::Fine)
}

fn size(invocation: &Invocation) -> (u16, u16) {
    let (columns, rows) = (invocation.console.size)().unwrap_or(USUAL);
    let narrow = |figure: usize| u16::try_from(figure).unwrap_or(u16::MAX);
    (narrow(columns), narrow(rows))
}

/// Whether a terminal of this kind has colours, as far as its name tells.
fn has_colours(term: &str) -> bool {
    !["vt1", "vt2"].iter().any(|old| term.starts_with(old)) && !term.ends_with("-m") && !term.ends_with("-mono")
}
