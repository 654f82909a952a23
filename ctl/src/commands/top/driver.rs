//! The loop: keys, signals, answers and time in; frames and questions out.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::canvas::{Canvas, size};
use super::guard::Guarded;
use super::keys::Keyboard;
use super::poll::{acknowledge, ask, look};
use super::signals::{Signalled, Signals};
use super::tty::Keys;
use super::update::Effect;
use super::view::{Answer, Link, Question, View};
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

/// When the controller is asked next.
struct Next {
    at: Instant,
    /// Asked for by a key: also in a pause.
    wanted: bool,
}

impl Next {
    fn now() -> Self {
        Self { at: now(), wanted: true }
    }

    fn after(wait: Duration) -> Self {
        Self { at: now() + wait, wanted: false }
    }
}

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
    let page = Page { colour: true, wide: false, ..invocation.page() };
    let mut view = View::new(answer, every, size(invocation), page);
    let start = now();
    let time = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);

    let mut signals = Signals::listen()?;
    let keys = Keys::open()?;
    let mut keyboard = Keyboard::default();
    let mut canvas = Canvas::take(invocation)?;

    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = Next::after(every);
    let mut escape_ends: Option<Instant> = None;
    // At most one look and one acknowledgement are under way; meanwhile the screen is drawn on.
    let (mut looks, mut acknowledgements) = (FuturesUnordered::new(), FuturesUnordered::new());
    'drawing: loop {
        let mut inputs = Vec::new();
        let mut suspend = false;
        tokio::select! {
            signalled = signals.next() => match signalled {
                Signalled::End => break,
                Signalled::Stop => suspend = true,
                Signalled::GoOn => canvas.go_on()?,
                Signalled::Resize => canvas.renew(),
            },
            bytes = keys.read() => {
                let Some(bytes) = bytes else { break };
                inputs = keyboard.take(&bytes);
                escape_ends = keyboard.is_waiting().then(|| now() + ESCAPE);
            }
            () = sleep_until(escape_ends.unwrap_or(next.at)), if escape_ends.is_some() => {
                inputs.extend(keyboard.rest());
                escape_ends = None;
            }
            () = sleep_until(next.at), if looks.is_empty() && (next.wanted || !view.paused) => {
                next = Next::after(view.every);
                view.asked_ms = Some(time());
                looks.push(look(&target, timeout, idle.take(), view.question(), &selector));
            }
            Some((connection, answer)) = looks.next() => {
                idle = connection;
                if let Some(sooner) = take(&mut view, answer, time())? {
                    next = sooner;
                }
            }
            Some((key, outcome)) = acknowledgements.next() => {
                tell(&mut view, (key, outcome), time());
                next = Next::now();
            }
            _ = redraw.tick() => match canvas.is_ours() {
                Ok(true) => {}
                // Somebody else has it: a shell, since our guard was stopped.
                Ok(false) => suspend = true,
                Err(_) => break,
            },
        }
        for input in inputs {
            match view.input(input, time()) {
                None => {}
                Some(Effect::End) => break 'drawing,
                Some(Effect::Suspend) => suspend = true,
                Some(Effect::Look) => next = Next::now(),
                Some(Effect::Redraw) => canvas.renew(),
                Some(Effect::Acknowledge(key)) if acknowledgements.is_empty() => {
                    acknowledgements.push(acknowledge(&target, timeout, key));
                }
                Some(Effect::Acknowledge(_)) => {
                    view.say(Style::Warn, "not acknowledged: another one is under way", time());
                }
            }
        }
        if suspend {
            canvas.suspend()?;
        }
        canvas.draw(&mut view, time())?;
    }
    drop(canvas);
    if !guarded.is_guarded() {
        invocation.console.note("ctl top: the process that guards the terminal was killed; press Enter for a prompt");
    }
    Ok(ExitStatus::Fine)
}

/// Takes up an answer, or that there is none; when to ask again if that is not at the usual time. To be refused is an
/// answer that ends it.
fn take(view: &mut View, answer: Result<Answer, CtlError>, now_ms: u64) -> Result<Option<Next>, CtlError> {
    match answer {
        Err(error) if error.status() == ExitStatus::NotAllowed => Err(error),
        Err(error) => {
            // A connection that has died over night says nothing of the controller.
            let wait = if view.link == Link::Answers { Duration::ZERO } else { RETRY.min(view.every) };
            view.lost(error.message().to_owned(), now_ms);
            Ok(Some(Next::after(wait)))
        }
        Ok(answer) => {
            view.answer(answer, now_ms);
            // It was opened while this answer was on its way.
            Ok(view.awaits_node().then(Next::now))
        }
    }
}

/// Tells what became of an acknowledgement.
fn tell(view: &mut View, (key, outcome): (String, Result<(), CtlError>), now_ms: u64) {
    match outcome {
        Ok(()) => view.say(Style::Good, format!("acknowledged {key}"), now_ms),
        Err(error) => view.say(Style::Bad, format!("not acknowledged: {}", error.message()), now_ms),
    }
}
