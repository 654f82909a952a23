//! What a new run of the agent makes of what the run before left on the disk.

use rackhaven_proto::model::{Ending, LastRun, ProgressState, Severity, StepKind, StepOutcome, StepResult};

use super::core::Sequence;
use super::event::Action;
use super::record::{KeptReport, MAX_REPORTS, Origin, Phase, Record, Run, told};

impl Sequence {
    /// Takes up the record, if there is one, in this boot; `last_run` is how the agent's run before ended, and
    /// `stop_recorded` whether it tells of the machine's own stop. What is to be done first, once the new record is on
    /// the disk.
    ///
    /// In the same boot the order goes on. In another the order is over, and a report of it is made; nothing that was
    /// planned in case of silence is left, for a board that boots has power.
    pub fn restored(
        record: Option<Record>,
        boot_id: &str,
        last_run: Option<&LastRun>,
        stop_recorded: bool,
        hold_max_ms: u64,
        now_ms: u64,
    ) -> (Self, Vec<Action>) {
        let before = last_run.filter(|last| last.boot_id != boot_id);
        let mut record = record.unwrap_or_else(|| Record {
            // Without a record the run tells which boot it was.
            boot_id: before.map_or(boot_id, |last| &last.boot_id).to_owned(),
            ..Record::default()
        });
        let same_boot = record.boot_id == boot_id;
        if same_boot {
            let held_ms = record.hold_since_ms.filter(|since_ms| *since_ms <= now_ms);
            let mut sequence = Self::of(record, held_ms.unwrap_or(now_ms), hold_max_ms);
            sequence.settle_k3s();
            sequence.resume(now_ms);
            sequence.pass(now_ms);
            let actions = std::mem::take(&mut sequence.actions);
            return (sequence, actions);
        }
        let run = record.run.take();
        let ending = before.filter(|last| last.boot_id == record.boot_id).map(|last| last.ending);
        let report =
            report(std::mem::replace(&mut record.boot_id, boot_id.to_owned()), run.as_ref(), ending, stop_recorded);
        (record.alone, record.k3s_stopped) = (None, false);
        record.hold_since_ms = record.hold_since_ms.map(|_| now_ms);
        let mut sequence = Self::of(record, now_ms, hold_max_ms);
        if let Some(run) = run.filter(|run| run.is_active() && run.origin != Origin::MachineStops) {
            let state = if run.phase == Phase::Running { ProgressState::Aborted } else { ProgressState::PoweringOff };
            sequence.remember(&run.order.id, state);
        }
        if let Some(report) = report {
            if let (false, Some(id)) = (report.clean, &report.order_id) {
                let text =
                    format!("the shutdown before this boot was not clean: {} (order {id})", faults(&report.steps));
                sequence.note("shutdown.unclean", Severity::Warning, told(&text));
            }
            let reports = &mut sequence.record.reports;
            reports.push(report);
            reports.drain(..reports.len().saturating_sub(MAX_REPORTS));
        }
        sequence.settle_k3s();
        let actions = std::mem::take(&mut sequence.actions);
        (sequence, actions)
    }

    /// Brings K3s's hold, and K3s, to where the record says: the agent may have ended between writing and doing.
    fn settle_k3s(&mut self) {
        if self.record.hold_since_ms.is_some() {
            self.actions.push(Action::HoldK3s { stop: false });
        } else if !self.is_active() {
            let start = self.record.k3s_stopped;
            self.actions.push(Action::ReleaseK3s { start });
        }
    }

    /// Goes on with the order of this boot.
    fn resume(&mut self, now_ms: u64) {
        let Some(run) = self.record.run.as_mut().filter(|run| run.phase == Phase::Running) else { return };
        match run.current {
            // The controller is still at it; it is heard of in a new session.
            Some(current) if current.kind == StepKind::Drain => {}
            Some(current) if now_ms < current.deadline_ms => {
                // It may be stopped already, and then by us.
                run.k3s_before |= current.kind == StepKind::StopK3s;
                self.perform(now_ms, current);
            }
            Some(_) => {}
            None => self.advance(now_ms),
        }
    }
}

/// How the stop went that ended a boot; none if nothing is known.
///
/// With an order of ours it was clean if each step ended well, and the machine is recorded to have stopped; where that is
/// not recorded, if the power-off was begun, before which the disks were synced. If somebody else stopped the machine, or
/// nobody, it was clean if the agent was stopped in an orderly way.
fn report(boot_id: String, run: Option<&Run>, ending: Option<Ending>, stop_recorded: bool) -> Option<KeptReport> {
    let orderly = ending == Some(Ending::Clean);
    match run.filter(|run| run.is_active() && !run.order.drill) {
        Some(run) if run.origin == Origin::MachineStops => {
            Some(KeptReport { boot_id, order_id: None, clean: orderly, steps: run.results.clone() })
        }
        Some(run) => {
            let begun = run.phase == Phase::PoweringOff;
            let off = begun && (orderly || !(run.failed || stop_recorded));
            let clean = off && run.results.iter().all(went_well);
            Some(KeptReport { boot_id, order_id: Some(run.order.id.clone()), clean, steps: run.results.clone() })
        }
        None => ending.map(|_| KeptReport { boot_id, order_id: None, clean: orderly, steps: Vec::new() }),
    }
}

fn went_well(result: &StepResult) -> bool {
    matches!(result.outcome, StepOutcome::Done | StepOutcome::Skipped)
}

/// What did not go well, for a person.
fn faults(steps: &[StepResult]) -> String {
    let words: Vec<String> = steps
        .iter()
        .filter(|result| !went_well(result))
        .map(|result| format!("{} {}", result.kind, result.outcome.as_str()))
        .collect();
    if words.is_empty() { "the machine went off before it had stopped".to_owned() } else { words.join(", ") }
}
