use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::{LastRun, Severity, ShutdownProgress, StepKind, StopReport};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::core::Sequence;
use super::event::{Action, Event, StepJob};
use super::record::Record;
use super::steps::{HookGate, K3s, News, Setup, perform};
use crate::host::Clock;
use crate::state::{StateFolder, load_shutdown, save_shutdown};

/// What waits to be taken in, or to be told.
const QUEUE_LENGTH: usize = 64;
/// How long a node that goes off waits for the controller to have understood that, at most half of the step's time.
const HEARD: Duration = Duration::from_secs(1);
/// The longest nap: the timer stands still in suspend, moments do not.
const NAP_MS: u64 = 1_000;

/// What the other parts of the agent tell this one.
pub enum ToShutdown {
    /// Something happened.
    Event(Event),
    /// The controller has understood that this machine goes off.
    PowerOffHeard,
    /// The configuration is new.
    Setup(Arc<Setup>),
    /// The agent ends; answered when nothing is performed any more.
    Stop(oneshot::Sender<()>),
}

/// What this part tells the node, to be passed on.
#[derive(Debug)]
pub enum FromShutdown {
    /// To the controller, if there is a session.
    Tell(ShutdownProgress),
    /// To the controller, if there is a session.
    Report(StopReport),
    /// An event to be kept.
    Note {
        /// Its kind.
        kind: &'static str,
        /// How bad it is.
        severity: Severity,
        /// For a person.
        message: String,
    },
}

type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// Writes down what the core decides, and does it.
pub struct Shutdown {
    folder: StateFolder,
    clock: Arc<dyn Clock>,
    setup: Arc<Setup>,
    sequence: Sequence,
    /// What is on the disk, as far as is known.
    saved: Option<Record>,
    inbox: mpsc::Receiver<ToShutdown>,
    outbox: mpsc::Sender<FromShutdown>,
    let_go: mpsc::Sender<()>,
    /// Of the steps, by their tickets.
    news: Channel<(u64, News)>,
    k3s: Channel<Result<(), String>>,
    step: Option<AbortHandle>,
    /// What is done with K3s, and whether it lets it go.
    k3s_job: Option<(bool, AbortHandle)>,
    hook_answer: Option<oneshot::Sender<bool>>,
    connected: bool,
    /// The power-off waits for it.
    heard: Option<oneshot::Sender<()>>,
    first: Vec<Action>,
}

/// The ends that the other parts hold.
pub struct Ends {
    /// To this part.
    pub told: mpsc::Sender<ToShutdown>,
    /// From this part to the node.
    pub tells: mpsc::Receiver<FromShutdown>,
    /// Whoever stops the machine need not wait any more.
    pub let_go: mpsc::Receiver<()>,
}

impl Shutdown {
    /// Takes up what is on the disk, in this boot; what was wrong with it.
    pub fn open(
        folder: &StateFolder,
        clock: Arc<dyn Clock>,
        boot_id: &str,
        last_run: Option<&LastRun>,
        stop_recorded: bool,
        setup: Arc<Setup>,
    ) -> (Self, Ends, Option<String>) {
        let (saved, damaged) = load_shutdown(folder);
        let hold_max_ms = milliseconds(setup.k3s.hold_max);
        let now_ms = clock.monotonic_ms();
        let (sequence, first) =
            Sequence::restored(saved.clone(), boot_id, last_run, stop_recorded, hold_max_ms, now_ms);
        let (told, inbox) = mpsc::channel(QUEUE_LENGTH);
        let (outbox, tells) = mpsc::channel(QUEUE_LENGTH);
        let (let_go, may_go) = mpsc::channel(1);
        let shutdown = Self {
            folder: folder.clone(),
            clock,
            setup,
            sequence,
            saved,
            inbox,
            outbox,
            let_go,
            news: mpsc::channel(4),
            k3s: mpsc::channel(4),
            step: None,
            k3s_job: None,
            hook_answer: None,
            connected: false,
            heard: None,
            first,
        };
        (shutdown, Ends { told, tells, let_go: may_go }, damaged)
    }

    /// Runs until the agent ends.
    pub async fn run(mut self) {
        let first = std::mem::take(&mut self.first);
        self.save();
        self.perform_all(first);
        loop {
            let nap_ms = self.nap_ms();
            let event = tokio::select! {
                told = self.inbox.recv() => match told {
                    Some(ToShutdown::Event(event)) => event,
                    Some(ToShutdown::PowerOffHeard) => {
                        // It may have been waited for no longer.
                        let _ = self.heard.take().map(|heard| heard.send(()));
                        continue;
                    }
                    Some(ToShutdown::Setup(setup)) => {
                        self.sequence.set_hold_max_ms(milliseconds(setup.k3s.hold_max));
                        self.setup = setup;
                        Event::Tick
                    }
                    Some(ToShutdown::Stop(done)) => {
                        self.take(Event::AgentStops);
                        // Nobody listens if the agent ends in a hurry.
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                Some((ticket, news)) = self.news.1.recv() => match news {
                    News::HookNext(name, answer) => {
                        self.hook_answer = Some(answer);
                        Event::HookNext { ticket, name }
                    }
                    News::HookEnded(name, failure) => Event::HookEnded { ticket, name, failure },
                    News::Ended((outcome, message)) => Event::StepEnded { ticket, outcome, message },
                },
                Some(done) = self.k3s.1.recv() => match done {
                    Ok(()) => Event::K3sReleased,
                    Err(why) => {
                        self.tell(FromShutdown::Note {
                            kind: "k3s.failed",
                            severity: Severity::Warning,
                            message: why,
                        });
                        Event::Tick
                    }
                },
                () = nap(nap_ms) => Event::Tick,
            };
            self.take(event);
        }
    }

    /// How long nothing is due; none if nothing will ever be.
    fn nap_ms(&self) -> Option<u64> {
        let due_ms = self.sequence.next_ms()?;
        Some(due_ms.saturating_sub(self.clock.monotonic_ms()).min(NAP_MS))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::SessionOpened => self.connected = true,
            Event::SessionLost => self.connected = false,
            _ => {}
        }
        let actions = self.sequence.step(self.clock.monotonic_ms(), event);
        self.save();
        self.perform_all(actions);
    }

    /// Writes the record down if it changed. A full or read-only disk must not keep a board from going down.
    fn save(&mut self) {
        if self.saved.as_ref() == Some(self.sequence.record()) {
            return;
        }
        if let Err(error) = save_shutdown(&self.folder, self.sequence.record()) {
            tracing::error!(%error, "how far the shutdown is could not be written down");
        }
        // Not tried again before there is something new to write.
        self.saved = Some(self.sequence.record().clone());
    }

    fn perform_all(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::RunStep(job) => self.run_step(job),
            Action::CancelStep { .. } => {
                if let Some(step) = self.step.take() {
                    step.abort();
                }
            }
            Action::StartHook { .. } => self.answer_hook(true),
            Action::PassHook { .. } => self.answer_hook(false),
            Action::Tell(progress) => self.tell(FromShutdown::Tell(progress)),
            Action::Report(report) => self.tell(FromShutdown::Report(report)),
            Action::HoldK3s { stop } => {
                let setup = Arc::clone(&self.setup);
                self.k3s(false, async move { K3s::new(&setup.k3s, setup.place).hold(stop).await });
            }
            Action::ReleaseK3s { start } => {
                let setup = Arc::clone(&self.setup);
                self.k3s(true, async move { K3s::new(&setup.k3s, setup.place).release(start).await });
            }
            // It may not be waited for.
            Action::LetGo => drop(self.let_go.try_send(())),
            Action::Note { kind, severity, message } => self.tell(FromShutdown::Note { kind, severity, message }),
        }
    }

    fn run_step(&mut self, job: StepJob) {
        let StepJob { ticket, kind, order_id, limit_ms, drill, .. } = &job;
        tracing::warn!(%kind, order = %order_id, drill, limit_ms, "a step begins");
        if *kind == StepKind::StopK3s
            && let Some((_, release)) = self.k3s_job.take_if(|(releases, _)| *releases)
        {
            // It is not to be started any more.
            release.abort();
        }
        let (ticket, news) = (*ticket, self.news.0.clone());
        let gate = HookGate { ticket, news: news.clone() };
        let setup = Arc::clone(&self.setup);
        let heard_within = HEARD.min(Duration::from_millis(*limit_ms) / 2);
        let heard = (*kind == StepKind::PowerOff && self.connected).then(|| {
            let (told, heard) = oneshot::channel();
            self.heard = Some(told);
            heard
        });
        let task = tokio::spawn(async move {
            if let Some(heard) = heard {
                // Not heard is no reason to stay.
                let _ = tokio::time::timeout(heard_within, heard).await;
            }
            let end = perform(job, setup, gate).await;
            // The receiver lives as long as the driver.
            let _ = news.send((ticket, News::Ended(end))).await;
        });
        self.step = Some(task.abort_handle());
    }

    /// Brings K3s to another state, in the place of what is under way.
    fn k3s(&mut self, releases: bool, work: impl Future<Output = Result<(), String>> + Send + 'static) {
        let done = self.k3s.0.clone();
        let task = tokio::spawn(async move {
            let worked = work.await;
            if releases || worked.is_err() {
                // The receiver lives as long as the driver.
                let _ = done.send(worked).await;
            }
        });
        if let Some((_, earlier)) = self.k3s_job.replace((releases, task.abort_handle())) {
            earlier.abort();
        }
    }

    fn answer_hook(&mut self, begin: bool) {
        if let Some(answer) = self.hook_answer.take() {
            // The step may have been cancelled.
            let _ = answer.send(begin);
        }
    }

    /// Tells the node. What it cannot take it learns when the next session opens.
    fn tell(&self, news: FromShutdown) {
        if let FromShutdown::Note { kind, message, .. } = &news {
            tracing::warn!(kind, "{message}");
        }
        if self.outbox.try_send(news).is_err() {
            tracing::warn!("the node is too busy to be told of its shutdown");
        }
    }
}

async fn nap(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
