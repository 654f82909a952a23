//! Decides what a node does on its way down. Pure: `(state, event) -> (state, actions)`. Moments are milliseconds since
//! boot, by the clock that goes on in suspend.

use rackhaven_proto::model::{OrderId, PowerNotice, ProgressState, Severity, ShutdownProgress, Supply};

use super::event::{Action, Event};
use super::record::{Alone, EndedOrder, MAX_ENDED, Origin, Phase, Record, Run};

/// The moment of acting alone is written down anew when it has moved by more than this, milliseconds. Less would write
/// to the card at each notice.
const ALONE_STEP_MS: u64 = 2_000;

/// A node's way down, and what it knows of the supply.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub(super) record: Record,
    /// As told last; the record's may be older by [`ALONE_STEP_MS`].
    pub(super) alone: Option<Alone>,
    pub(super) session: bool,
    /// When a controller was last heard.
    pub(super) heard_ms: u64,
    pub(super) hold_max_ms: u64,
    /// Of the step that was begun last.
    pub(super) last_ticket: u64,
    /// Of the step that is performed now.
    pub(super) ticket: Option<u64>,
    /// Until when somebody who stops this machine waits for us.
    pub(super) let_go_ms: Option<u64>,
    pub(super) actions: Vec<Action>,
}

impl Sequence {
    /// A node that was never told anything. K3s is held for at most `hold_max_ms` without a controller.
    pub fn new(boot_id: &str, hold_max_ms: u64) -> Self {
        Self::of(Record { boot_id: boot_id.to_owned(), ..Record::default() }, 0, hold_max_ms)
    }

    pub(super) fn of(record: Record, now_ms: u64, hold_max_ms: u64) -> Self {
        Self {
            alone: record.alone.clone(),
            record,
            session: false,
            heard_ms: now_ms,
            hold_max_ms,
            last_ticket: 0,
            ticket: None,
            let_go_ms: None,
            actions: Vec::new(),
        }
    }

    /// What must be on the disk before the last actions are performed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How far the order is that is carried out, or was last in this boot.
    pub fn progress(&self) -> Option<ShutdownProgress> {
        self.record.run.as_ref().map(Run::progress)
    }

    /// From now on K3s is held for at most so long without a controller, milliseconds.
    pub fn set_hold_max_ms(&mut self, hold_max_ms: u64) {
        self.hold_max_ms = hold_max_ms;
    }

    /// When the next [`Event::Tick`] is due at the latest.
    pub fn next_ms(&self) -> Option<u64> {
        let run = self.record.run.as_ref().filter(|run| run.is_active());
        let step = run.and_then(|run| run.current.map(|current| current.deadline_ms).or(run.again_ms));
        let alone = self.alone.as_ref().map(|alone| alone.begin_ms);
        [step, alone, self.let_go_ms, self.release_due_ms()].into_iter().flatten().min()
    }

    /// Takes in what happened; what is to be done, once the record is on the disk.
    pub fn step(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let before = self.progress();
        let mut again = false;
        match event {
            Event::Notice(notice) => self.notice(now_ms, notice),
            Event::Order(order) => again = self.order(now_ms, order),
            Event::Abort(id) => again = self.abort(now_ms, &id),
            Event::DrainEnded { order_id, failure } => self.drain_ended(now_ms, &order_id, &failure),
            Event::ReportStored(boot_id) => self.record.reports.retain(|report| report.boot_id != boot_id),
            Event::SessionOpened => {
                (self.session, self.heard_ms, again) = (true, now_ms, true);
                self.tell_reports();
            }
            Event::NotStored => self.tell_reports(),
            Event::SessionLost => (self.session, self.heard_ms) = (false, now_ms),
            Event::StepEnded { ticket, outcome, message } => self.step_ended(now_ms, ticket, outcome, &message),
            Event::HookNext { ticket, name } => self.hook_next(ticket, name),
            Event::HookEnded { ticket, name, failure } => self.hook_ended(ticket, &name, &failure),
            Event::K3sReleased => {
                if !self.is_active() {
                    self.record.k3s_stopped = false;
                }
            }
            Event::MachineStops { budget_ms } => self.machine_stops(now_ms, budget_ms),
            Event::MachineStays => self.machine_stays(now_ms),
            Event::AgentStops => {
                // What was begun is gone on with by the next run.
                self.cancel();
                return std::mem::take(&mut self.actions);
            }
            Event::Tick => {}
        }
        self.pass(now_ms);
        let after = self.progress();
        if let Some(progress) = after.clone()
            && (again || after != before)
        {
            self.actions.push(Action::Tell(progress));
        }
        std::mem::take(&mut self.actions)
    }

    fn tell_reports(&mut self) {
        self.actions.extend(self.record.reports.iter().map(|kept| Action::Report(kept.report())));
    }

    /// Whether the node is on its way down.
    pub fn is_active(&self) -> bool {
        self.record.run.as_ref().is_some_and(Run::is_active)
    }

    /// Does what is due.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.pass_deadline(now_ms);
        self.pass_alone(now_ms);
        if self.release_due_ms().is_some_and(|due_ms| now_ms >= due_ms) {
            self.note("k3s.hold-ended", Severity::Warning, "K3s was held, and no controller was heard for too long");
            self.release(true);
        }
        let running = self.record.run.as_ref().is_some_and(|run| run.phase == Phase::Running);
        if self.let_go_ms.is_some_and(|until_ms| now_ms >= until_ms || !running) {
            self.let_go_ms = None;
            self.actions.push(Action::LetGo);
        }
    }

    fn notice(&mut self, now_ms: u64, notice: PowerNotice) {
        self.heard_ms = now_ms;
        let alone = notice.alone.filter(|_| notice.supply != Supply::Mains).map(|plan| Alone {
            order_id: plan.order_id,
            begin_ms: now_ms.saturating_add(plan.begin_in_ms),
            steps: plan.steps,
        });
        self.set_alone(alone);
        let by_itself = |run: &Run| run.origin == Origin::Alone && run.phase == Phase::Running;
        if notice.supply == Supply::Mains && self.record.run.as_ref().is_some_and(by_itself) {
            self.undo(now_ms, "there is mains again");
        }
        match (self.record.hold_since_ms, notice.hold_k3s) {
            (None, true) => {
                self.record.hold_since_ms = Some(now_ms);
                // On battery the hold is for the boot to come; until then the workloads are drained first.
                let stop = notice.supply == Supply::Mains && !self.is_active();
                self.actions.push(Action::HoldK3s { stop });
            }
            (Some(_), false) => self.release(true),
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Keeps what the node does if it hears nothing more.
    pub(super) fn set_alone(&mut self, alone: Option<Alone>) {
        // A node that goes down already needs no plan for it.
        let going = self.record.run.as_ref().is_some_and(|run| !run.gives_way());
        let alone = alone.filter(|alone| !going && self.ended_state(&alone.order_id).is_none());
        let near = match (&self.record.alone, &alone) {
            (Some(kept), Some(new)) => {
                (&kept.order_id, &kept.steps) == (&new.order_id, &new.steps)
                    && kept.begin_ms.abs_diff(new.begin_ms) <= ALONE_STEP_MS
            }
            (kept, new) => kept == new,
        };
        if !near {
            self.record.alone.clone_from(&alone);
        }
        self.alone = alone;
    }

    /// When K3s is let go although nobody said so.
    fn release_due_ms(&self) -> Option<u64> {
        let held = self.record.hold_since_ms.is_some() && !self.session;
        held.then(|| self.heard_ms.saturating_add(self.hold_max_ms))
    }

    /// Lets K3s go; it is started only if the node is not on its way down.
    pub(super) fn release(&mut self, start: bool) {
        self.record.hold_since_ms = None;
        let start = start && !self.is_active();
        self.actions.push(Action::ReleaseK3s { start });
    }

    /// How an order ended that is over.
    pub(super) fn ended_state(&self, id: &OrderId) -> Option<ProgressState> {
        self.record.ended.iter().find(|ended| ended.id == *id).map(|ended| ended.state)
    }

    /// An order is over, and never begun again.
    pub(super) fn remember(&mut self, id: &OrderId, state: ProgressState) {
        self.record.ended.retain(|ended| ended.id != *id);
        self.record.ended.push(EndedOrder { id: id.clone(), state });
        let surplus = self.record.ended.len().saturating_sub(MAX_ENDED);
        self.record.ended.drain(..surplus);
        if self.alone.as_ref().is_some_and(|alone| alone.order_id == *id) {
            self.set_alone(None);
        }
    }

    pub(super) fn note(&mut self, kind: &'static str, severity: Severity, message: impl Into<String>) {
        self.actions.push(Action::Note { kind, severity, message: message.into() });
    }

    /// Ends what is performed now, without a result.
    pub(super) fn cancel(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.actions.push(Action::CancelStep { ticket });
        }
    }
}
