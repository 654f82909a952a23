//! A board whose controller is in the story's hand, and what the stories of its shutdown say to one another.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rackhaven_agent::state::{StateFolder, save_identity};
use rackhaven_proto::model::{
    AlonePlan, PowerNotice, ProgressState, ShutdownOrder, ShutdownProgress, Step, StepKind, StepOutcome, StopReport,
    Supply,
};
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_tests::impostor::{FakeController, FakeSession};
use rackhaven_tests::{Agent, wait_until};
use tempfile::TempDir;

/// Long enough never to be reached.
pub(crate) const LONG_MS: u32 = 600_000;

pub(crate) struct Board {
    pub(crate) controller: FakeController,
    pub(crate) pi: Agent,
    pub(crate) folder: TempDir,
}

/// A session in which no event is lost while something else is waited for.
pub(crate) struct Talk {
    session: FakeSession,
    events: Vec<v1::Event>,
}

impl Talk {
    pub(crate) fn new(session: FakeSession) -> Self {
        Self { session, events: Vec::new() }
    }

    /// Waits for what `pick` picks; events are kept.
    async fn wait_for<T>(&mut self, what: &str, mut pick: impl FnMut(&FromAgent) -> Option<T>) -> T {
        let events = &mut self.events;
        let picked = self.session.wait_for(what, |body| {
            let picked = pick(&body);
            if let FromAgent::Event(event) = body {
                events.push(event);
            }
            picked
        });
        picked.await.unwrap()
    }
}

impl std::ops::Deref for Talk {
    type Target = FakeSession;

    fn deref(&self) -> &FakeSession {
        &self.session
    }
}

impl Board {
    /// A board in its first boot, not started yet.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let controller = FakeController::start().await.unwrap();
        let mut pi = Agent::new(folder.path(), "pi-1");
        pi.boot_again();
        let board = Self { controller, pi, folder };
        board.enrol();
        board
    }

    /// Gives it its identity, where its state is.
    pub(crate) fn enrol(&self) {
        let subject = rackhaven_pki::Subject::Node("pi-1".parse().unwrap());
        let credentials = self.controller.cluster.credentials(subject, self.controller.address()).unwrap();
        save_identity(&StateFolder::open(self.pi.state()).unwrap(), &credentials).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A hook that is this shell script.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        let dir = self.path("pi-1.hooks");
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).unwrap();
    }

    /// A script's line that adds a word to `trace`.
    pub(crate) fn trace(&self, word: &str) -> String {
        format!("echo {word} >> {}", self.path("trace").display())
    }

    /// The words that were added so far.
    pub(crate) fn traced(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("trace")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// K3s that says when it is stopped and started.
    pub(crate) fn with_k3s(&mut self, stop: &str) {
        let stop = format!("{}; {stop}", self.trace("k3s-stopped"));
        let start = self.trace("k3s-started");
        for (key, script) in [("k3s.stop_command", stop), ("k3s.start_command", start)] {
            self.pi.settings.set(key, rackhaven_tests::settings::toml_list(["/bin/sh", "-c", &script]));
        }
    }

    /// What stands for systemd: it adds these of its words to `trace`. K3s's agent is installed, as far as it knows.
    pub(crate) fn with_systemctl(&mut self, words: &str) {
        let units = self.path("pi-1.systemd");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join("k3s-agent.service"), "").unwrap();
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("systemctl"), format!("#!/bin/sh\n{}\n", self.trace(words))).unwrap();
        fs::set_permissions(bin.join("systemctl"), Permissions::from_mode(0o755)).unwrap();
        self.pi.environment.push(("PATH".to_owned(), format!("{}:/usr/bin:/bin", bin.display())));
    }

    /// Starts it, and awaits its session.
    pub(crate) async fn up(&mut self) -> Talk {
        self.pi.start().unwrap();
        self.session().await
    }

    /// Its next session.
    pub(crate) async fn session(&mut self) -> Talk {
        Talk::new(self.controller.session().await.unwrap())
    }

    /// Kills the agent and starts it again, in the same boot.
    pub(crate) async fn killed_and_up(&mut self) -> Talk {
        self.pi.kill().await.unwrap();
        self.up().await
    }

    pub(crate) async fn wait_for_trace(&self, words: &[&str]) {
        let what = format!("the trace {words:?}");
        wait_until(&what, async || self.traced() == words).await.unwrap_or_else(|error| {
            panic!("{error}: the trace is {:?}; log:\n{}", self.traced(), self.pi.log());
        });
    }

    pub(crate) async fn wait_for_power_off(&self) {
        wait_until("the power-off", async || !self.pi.calls().is_empty()).await.unwrap();
    }
}

/// All steps but the drain, each with so much time.
pub(crate) fn steps(timeout_ms: u32) -> Vec<Step> {
    StepKind::ALL[1..].iter().map(|kind| Step { kind: *kind, timeout_ms }).collect()
}

/// The same with another time for one of them.
pub(crate) fn steps_but(kind: StepKind, timeout_ms: u32) -> Vec<Step> {
    let mut steps = steps(LONG_MS);
    steps.iter_mut().filter(|step| step.kind == kind).for_each(|step| step.timeout_ms = timeout_ms);
    steps
}

pub(crate) fn order(id: &str, steps: Vec<Step>) -> ShutdownOrder {
    ShutdownOrder {
        id: id.parse().unwrap(),
        steps: steps.try_into().unwrap(),
        drill: false,
        reason: "storm".to_owned(),
    }
}

pub(crate) async fn give(session: &FakeSession, order: ShutdownOrder) {
    session.send(ToAgent::Shutdown(order.into())).await.unwrap();
}

pub(crate) async fn abort(session: &FakeSession, id: &str) {
    session.send(ToAgent::ShutdownAbort(v1::ShutdownAbort { order_id: id.to_owned() })).await.unwrap();
}

/// Tells the supply; on battery with what the board does if it hears nothing more.
pub(crate) async fn notice(session: &FakeSession, alone: Option<(&str, u64)>, hold_k3s: bool) {
    let alone = alone.map(|(id, begin_in_ms)| AlonePlan {
        order_id: id.parse().unwrap(),
        begin_in_ms,
        steps: steps(LONG_MS).try_into().unwrap(),
    });
    let supply = if alone.is_some() { Supply::Battery } else { Supply::Mains };
    session.send(ToAgent::Power(PowerNotice { supply, alone, hold_k3s }.into())).await.unwrap();
}

/// The first progress that is so.
pub(crate) async fn progress(
    session: &mut Talk,
    what: &str,
    is_so: impl Fn(&ShutdownProgress) -> bool,
) -> ShutdownProgress {
    let pick = |body: &FromAgent| match body {
        FromAgent::ShutdownProgress(wire) => ShutdownProgress::try_from(wire.clone()).ok().filter(|told| is_so(told)),
        _ => None,
    };
    session.wait_for(what, pick).await
}

/// The first progress in this state.
pub(crate) async fn state(session: &mut Talk, state: ProgressState) -> ShutdownProgress {
    progress(session, &format!("{state:?}"), |progress| progress.state == state).await
}

pub(crate) async fn report(session: &mut Talk) -> StopReport {
    let pick = |body: &FromAgent| match body {
        FromAgent::StopReport(wire) => StopReport::try_from(wire.clone()).ok(),
        _ => None,
    };
    session.wait_for("the report of the stop", pick).await
}

/// Whether samples come, but no report before them.
pub(crate) async fn nothing_to_report(session: &mut Talk) -> bool {
    let pick = |body: &FromAgent| match body {
        FromAgent::StopReport(_) => Some(false),
        FromAgent::Sample(_) => Some(true),
        _ => None,
    };
    session.wait_for("a sample", pick).await
}

/// The first event of this kind: how bad it is, and its message.
pub(crate) async fn event(session: &mut Talk, kind: &str) -> (v1::Severity, String) {
    let is_it = |event: &v1::Event| (event.kind == kind).then(|| (event.severity(), event.message.clone()));
    if let Some(found) = session.events.iter().find_map(is_it) {
        return found;
    }
    let pick = |body: &FromAgent| match body {
        FromAgent::Event(event) => is_it(event),
        _ => None,
    };
    session.wait_for(kind, pick).await
}

/// How the steps ended.
pub(crate) fn outcomes(progress: &ShutdownProgress) -> Vec<(StepKind, StepOutcome)> {
    progress.steps.iter().map(|step| (step.kind, step.outcome)).collect()
}

/// How one of them ended, and why.
pub(crate) fn outcome(progress: &ShutdownProgress, kind: StepKind) -> (StepOutcome, &str) {
    let step = progress.steps.iter().find(|step| step.kind == kind);
    let step = step.unwrap_or_else(|| panic!("{kind} has not ended: {progress:?}"));
    (step.outcome, &step.message)
}

/// Whether a process with this id still runs.
pub(crate) fn runs(pid_file: &Path) -> bool {
    let pid: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    // One that ended, and that nobody has waited for, runs no more.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
