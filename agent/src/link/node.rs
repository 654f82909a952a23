use std::sync::Arc;
use std::time::Duration;

use rackhaven_proto::model::{
    Command, CommandId, CommandOutcome, Ending, Hello, LastRun, NodeName, Operation, RunId, Severity,
};
use rackhaven_proto::v1;
use tokio::sync::mpsc;

use crate::backup::{FromBackups, ToBackups};
use crate::causes::with_causes;
use crate::command::{Decision, after_restart, decide};
use crate::host::{AskedBeside, Clock, PowerSwitch, Probe};
use crate::k3s::K3sOrders;
use crate::logs::Logs;
use crate::shutdown::{FromShutdown, ToShutdown};
use crate::state::{Entry, Journal, Spool};

/// What the outside asks of the agent.
pub enum Request {
    /// Take up a new way to switch the board.
    Reload(Arc<dyn PowerSwitch>),
    /// End, for this reason.
    Stop(String),
}

/// What a node is made of.
pub struct Parts {
    /// The board's clocks.
    pub clock: Arc<dyn Clock>,
    /// What measures it.
    pub probe: Box<dyn Probe>,
    /// What switches it.
    pub power: Arc<dyn PowerSwitch>,
    /// Events that wait to be delivered.
    pub spool: Spool,
    /// Commands that came before.
    pub journal: Journal,
    /// This run of the agent.
    pub run_id: RunId,
    /// How the run before ended.
    pub last_run: Option<LastRun>,
    /// Whether there was none before. If its record was damaged, there was one.
    pub first_run: bool,
    /// What the outside asks.
    pub requests: mpsc::Receiver<Request>,
    /// What is asked beside the sampling.
    pub asked_beside: mpsc::Receiver<AskedBeside>,
    /// What reads this machine's log.
    pub logs: Logs,
    /// What carries out orders about K3s.
    pub k3s: K3sOrders,
    /// To the node's way down.
    pub shutdown: mpsc::Sender<ToShutdown>,
    /// What that tells.
    pub shutdown_tells: mpsc::Receiver<FromShutdown>,
    /// To this node's backups.
    pub backups: mpsc::Sender<ToBackups>,
    /// What they tell.
    pub backups_tell: mpsc::Receiver<FromBackups>,
}

/// The node as a whole: it measures, remembers, obeys, connected or not.
pub struct Node {
    pub(super) parts: Parts,
    pub(super) facts: rackhaven_proto::model::NodeFacts,
    pub(super) performed: mpsc::Receiver<(CommandId, CommandOutcome)>,
    performing: mpsc::Sender<(CommandId, CommandOutcome)>,
    samples: u64,
}

impl Node {
    /// Puts the parts together, ends what an earlier run left open, and notes the start.
    pub fn new(mut parts: Parts) -> Self {
        let facts = parts.probe.facts();
        let (performing, performed) = mpsc::channel(8);
        // Shares of time need a measurement to compare with.
        let _ = parts.probe.sample();
        let mut node = Self { parts, facts, performed, performing, samples: 0 };
        node.end_earlier_commands();
        let (severity, how) = match &node.parts.last_run {
            None if node.parts.first_run => (Severity::Info, "for the first time".to_owned()),
            None => (Severity::Warning, "after a run of which is not known how it ended".to_owned()),
            Some(last) if last.ending == Ending::Clean => (Severity::Info, format!("after {}", last.reason)),
            Some(last) if last.ending == Ending::AgentKilled => (Severity::Warning, "after it was killed".to_owned()),
            Some(last) if !last.reason.is_empty() => {
                (Severity::Warning, format!("on a node that went down: {}", last.reason))
            }
            Some(_) => (Severity::Warning, "after the node went down without warning".to_owned()),
        };
        node.note("agent.started", severity, &format!("agent {} started {how}", rackhaven_proto::VERSION));
        node
    }

    /// The board's clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// Keeps an event until the controller has stored it.
    pub fn note(&mut self, kind: &str, severity: Severity, message: &str) {
        let (wall_ms, now_ms) = (self.parts.clock.wall_unix_ms(), self.parts.clock.monotonic_ms());
        self.parts.spool.push(kind, severity, message, wall_ms, now_ms);
    }

    pub(super) fn hello(&self, node: NodeName) -> v1::Hello {
        let hello = Hello {
            node,
            agent_version: rackhaven_proto::VERSION.to_owned(),
            run_id: self.parts.run_id,
            facts: self.facts.clone(),
            last_run: self.parts.last_run.clone(),
            wall_unix_ms: self.parts.clock.wall_unix_ms(),
        };
        hello.into()
    }

    pub(super) fn measure(&mut self) -> v1::Sample {
        self.samples += 1;
        v1::Sample { sequence: self.samples, ..self.parts.probe.sample() }
    }

    /// Waits between two attempts to connect, and goes on obeying; true when it is to stop.
    pub(super) async fn idle(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = self.obey_until_stop() => true,
        }
    }

    /// Goes on without a session until it is to stop. May be dropped at any moment.
    pub(super) async fn obey_until_stop(&mut self) {
        loop {
            tokio::select! {
                request = self.parts.requests.recv() => if self.obey(request) { return },
                Some(told) = self.parts.asked_beside.recv() => self.parts.probe.take(told),
                Some((id, outcome)) = self.performed.recv() => drop(self.conclude(id, outcome)),
                Some(news) = self.parts.shutdown_tells.recv() => drop(self.news_of_shutdown(news)),
                Some(news) = self.parts.backups_tell.recv() => drop(self.news_of_backups(news)),
            }
        }
    }

    /// Does what the outside asks; true when it is to stop.
    pub(super) fn obey(&mut self, request: Option<Request>) -> bool {
        match request {
            Some(Request::Reload(power)) => {
                self.parts.power = power;
                self.note("agent.reloaded", Severity::Info, "configuration reloaded");
                false
            }
            Some(Request::Stop(reason)) => {
                self.note("agent.stopped", Severity::Info, &format!("agent stopped: {reason}"));
                true
            }
            None => true,
        }
    }

    /// Takes in a command; what to answer at once.
    pub(super) fn command(&mut self, command: Command) -> CommandOutcome {
        let outcome = match decide(&command, self.parts.journal.get(&command.id)) {
            Decision::Repeat(outcome) => return outcome,
            Decision::Expire => CommandOutcome::Expired,
            Decision::Perform => CommandOutcome::Accepted,
        };
        let entry = Entry {
            id: command.id.clone(),
            operation: command.operation,
            boot_id: self.facts.boot_id.clone(),
            outcome: outcome.clone(),
            stored: false,
        };
        if let Err(error) = self.parts.journal.put(entry) {
            // A full disk must not keep a board from being switched off. Should the command come again in this run,
            // the machine is on its way down already.
            tracing::error!(%error, "a command could not be written down");
        }
        let Command { id, operation, requested_by, reason, .. } = command;
        if outcome == CommandOutcome::Accepted {
            tracing::warn!(%id, %operation, requested_by, reason, "performing a command");
            self.perform(id, operation);
        }
        outcome
    }

    fn perform(&self, id: CommandId, operation: Operation) {
        let (power, performing) = (Arc::clone(&self.parts.power), self.performing.clone());
        tokio::spawn(async move {
            let switched = match operation {
                Operation::Reboot => power.reboot().await,
                Operation::PowerOff => power.power_off().await,
            };
            let outcome = match switched {
                Ok(()) => CommandOutcome::Succeeded,
                Err(error) => CommandOutcome::Failed(bounded(&error)),
            };
            // The receiver lives as long as the node.
            let _ = performing.send((id, outcome)).await;
        });
    }

    /// A command has been performed; what to tell of it.
    pub(super) fn conclude(&mut self, id: CommandId, outcome: CommandOutcome) -> v1::CommandUpdate {
        if let Some(entry) = self.parts.journal.get(&id).cloned()
            && let Err(error) = self.parts.journal.put(Entry { outcome: outcome.clone(), ..entry })
        {
            tracing::error!(%error, "a command's outcome could not be written down");
        }
        (id, outcome).into()
    }

    /// What the controller does not know yet of commands that have ended.
    pub(super) fn unconfirmed(&self) -> Vec<v1::CommandUpdate> {
        let open = self.parts.journal.unconfirmed();
        open.map(|entry| (entry.id.clone(), entry.outcome.clone()).into()).collect()
    }

    /// The controller knows the end of a command.
    pub(super) fn confirmed(&mut self, id: &CommandId) {
        if let Some(entry) = self.parts.journal.get(id).filter(|entry| entry.outcome.is_final()).cloned()
            && let Err(error) = self.parts.journal.put(Entry { stored: true, ..entry })
        {
            tracing::warn!(%error, "a confirmed command will be told again");
        }
    }

    fn end_earlier_commands(&mut self) {
        let boot_id = self.facts.boot_id.clone();
        let ended: Vec<Entry> = self
            .parts
            .journal
            .unconfirmed()
            .filter_map(|entry| Some(Entry { outcome: after_restart(entry, &boot_id)?, ..entry.clone() }))
            .collect();
        for entry in ended {
            if let Err(error) = self.parts.journal.put(entry) {
                tracing::error!(%error, "an earlier command's outcome could not be written down");
            }
        }
    }
}

/// An error with its sources, bounded to what a command's outcome may hold.
fn bounded(error: &dyn std::error::Error) -> String {
    with_causes(error).chars().map(|c| if c.is_control() { ' ' } else { c }).take(250).collect()
}
