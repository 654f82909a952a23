//! Starts K3s, and waits until it runs.

use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::K3sRole;

use crate::child::{command, run};
use crate::clock::steady;
use crate::news::Done;
use crate::order::Work;
use crate::paths::PROGRAM;
use crate::record::Record;
use crate::units::{self, UnitState};

/// How often it is looked how the unit is.
const LOOK: Duration = Duration::from_millis(500);
/// How long an agent must run that has said that it does.
const STEADY: Duration = Duration::from_secs(3);
/// How long the API may take for one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// So many times K3s may end by itself before it is given up to wait for it.
const MOST_RESTARTS: u64 = 3;

/// What is to be done about the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It runs, or is about to, with what it is to run with.
    Nothing,
    /// It does not run.
    Begin,
    /// It runs with something else.
    Anew,
}

/// Decides it: how the unit is, and whether it was started with what it is to run with.
fn decide(state: &UnitState, is_current: bool) -> Start {
    match (state.is_down(), is_current) {
        (true, _) => Start::Begin,
        (false, true) => Start::Nothing,
        (false, false) => Start::Anew,
    }
}

/// Starts it with all that has changed; `sum` is that of what it is to run with.
pub(super) fn start(work: &mut Work, role: K3sRole, sum: &str) -> anyhow::Result<Done> {
    let unit = role.unit();
    let mut record = Record::load(work.root)?.context("the record of the installation is gone")?;
    let is_current = record.started == sum;
    if !is_current {
        units::reload(work.stop)?;
    }
    let state = units::show(unit, work.stop)?;
    if state.load != "loaded" {
        bail!("systemd does not take {unit}: {}", state.load);
    }
    let mut done = Vec::new();
    if state.file != "enabled" {
        units::enable(unit, true, work.stop)?;
        done.push(format!("{unit} starts at each boot"));
    }
    match decide(&state, is_current) {
        Start::Nothing => {}
        Start::Begin => {
            units::start(unit, false, work.stop)?;
            done.push(format!("{unit} started"));
        }
        Start::Anew => {
            units::start(unit, true, work.stop)?;
            done.push(format!("{unit} restarted with what has changed"));
        }
    }
    if !is_current {
        // After the start: if this is lost, K3s is started once more.
        record.started = sum.to_owned();
        record.save(work.root)?;
    }
    Ok(match done.as_slice() {
        [] => Done::Unchanged(format!("{unit} runs with all this")),
        _ => Done::Changed(done.join(", ")),
    })
}

/// Waits until it runs: a server when its API is ready, an agent when it stays up.
pub(crate) fn ready(work: &mut Work, role: K3sRole) -> anyhow::Result<Done> {
    let unit = role.unit();
    let begun = steady();
    let mut before: Option<UnitState> = None;
    let mut up_since = None;
    let mut why = String::new();
    while steady().duration_since(begun) < work.start_time {
        let state = units::show(unit, work.stop)?;
        let first = before.get_or_insert_with(|| state.clone());
        if state.restarts >= first.restarts + MOST_RESTARTS {
            bail!("{unit} ends again and again{}", last_words(work, unit));
        }
        if state.active == "failed" {
            bail!("{unit} has failed, and systemd does not start it again{}", last_words(work, unit));
        }
        if !state.is_active() {
            up_since = None;
            why = format!("{unit} is {} ({})", state.active, state.sub);
        } else if role == K3sRole::Server {
            match readyz(work) {
                Ok(()) => return Ok(told(first, &state, format!("{unit} runs, and its API is ready"))),
                Err(error) => why = format!("{unit} runs, but its API is not ready: {error:#}"),
            }
        } else {
            let since = match up_since {
                Some((pid, since)) if pid == state.main_pid => since,
                _ => steady(),
            };
            up_since = Some((state.main_pid, since));
            if first.is_active() && first.main_pid == state.main_pid || steady().duration_since(since) >= STEADY {
                return Ok(told(first, &state, format!("{unit} runs")));
            }
            why = format!("{unit} runs, but not for long yet");
        }
        work.news.waits(&why);
        work.pause(LOOK)?;
    }
    bail!("it took longer than {} s: {why}{}", work.start_time.as_secs(), last_words(work, unit))
}

fn told(first: &UnitState, now: &UnitState, text: String) -> Done {
    if first == now { Done::Unchanged(text) } else { Done::Changed(text) }
}

fn last_words(work: &Work, unit: &str) -> String {
    match units::last_words(unit, work.stop) {
        words if words.is_empty() => String::new(),
        words => format!("; its last words: {words}"),
    }
}

fn readyz(work: &Work) -> anyhow::Result<()> {
    let mut k3s = command(work.root.at(PROGRAM));
    k3s.args(["kubectl", "get", "--raw", "/readyz"]);
    run(k3s, b"", ANSWER, work.stop)?.fine("k3s kubectl get --raw /readyz")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Start, decide};
    use crate::units::UnitState;

    #[test]
    fn golden() {
        for (active, is_current, start) in [
            ("inactive", true, Start::Begin),
            ("inactive", false, Start::Begin),
            ("failed", true, Start::Begin),
            ("active", true, Start::Nothing),
            ("active", false, Start::Anew),
            ("activating", true, Start::Nothing),
            ("activating", false, Start::Anew),
            ("deactivating", true, Start::Nothing),
        ] {
            let state = UnitState { active: active.to_owned(), ..UnitState::default() };
            assert_eq!(decide(&state, is_current), start, "{active} {is_current}");
        }
    }
}
