//! `ctl top`: the whole fleet live, on a full screen.

mod canvas;
mod draw;
mod driver;
#[cfg(test)]
mod fixture;
mod guard;
mod ink;
mod keys;
mod list;
mod plan;
mod poll;
mod signals;
mod tty;
mod update;
mod view;

use std::time::Duration;

use clap::Args;

use crate::commands::node::Selector;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::Format;
use crate::units::parse_duration;

use guard::Part;
use tty::Tty;

/// The controller is asked no more often than this.
const LEAST_INTERVAL: Duration = Duration::from_millis(200);

/// Options of `ctl top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// How often to look, 200ms at least
    #[arg(long, value_parser = interval, default_value = "2s", value_name = "TIME")]
    interval: Duration,
    /// Only nodes with these labels: KEY=VALUE, KEY!=VALUE or KEY, several with commas between
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<Selector>,
}

/// Shows the fleet until a person has seen enough.
pub(crate) async fn run(args: TopArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    can_be_drawn(invocation)?;
    match Part::of_process()? {
        Part::Guard => guard::watch(&Tty::open()?),
        Part::Drawer(guarded) => {
            driver::run(args.interval, args.selector.unwrap_or_default(), guarded, invocation).await
        }
    }
}

/// Refuses what is no screen.
fn can_be_drawn(invocation: &Invocation) -> Result<(), CtlError> {
    let refuse = |why: String| CtlError::usage(why).hint("for a pipe, a log or a plain terminal: ctl status --watch");
    if !invocation.console.out_is_terminal {
        return Err(refuse("top draws on a whole screen, and standard output is no terminal".to_owned()));
    }
    if !matches!(invocation.global.output, Format::Table | Format::Wide) {
        return Err(refuse("top draws on a whole screen, and knows no other form of output".to_owned()));
    }
    match invocation.environment.term.as_deref() {
        None => Err(refuse("top draws on a whole screen, and TERM does not say which terminal this is".to_owned())),
        Some(term @ ("dumb" | "unknown")) => {
            Err(refuse(format!("top draws on a whole screen, and a terminal of TERM={term} has none")))
        }
        Some(_) => Ok(()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    match interval >= LEAST_INTERVAL {
        true => Ok(interval),
        false => Err(format!("{text:?} is too often: 200ms at least")),
    }
}
