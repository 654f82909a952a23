//! A new run of the controller goes on from what the one before had written down.

use rackhaven_proto::model::Severity;

use super::state::{Cut, Direction, Kind, Once, Phase};
use super::supply::RackSupply;
use super::{Action, Context, Core};

impl Core {
    pub(super) fn restarted(&mut self, context: &Context<'_>, same_boot: bool) {
        let now_ms = context.now_ms;
        self.present.clear();
        self.away_since_ms.clear();
        self.begun_ms = now_ms;
        self.booted = !same_boot;
        for once in self.state.once.clone() {
            self.actions.push(match once {
                Once::Uncordon(node) => Action::Uncordon { node },
                Once::Ended { number, cause } => Action::Ended { number, cause },
            });
        }
        if !same_boot {
            // The host was off: whatever the UPSes said then is over.
            self.state.upses.iter_mut().for_each(|ups| ups.forget(now_ms));
            self.state.witnesses_silent_since_ms = None;
            self.state.supply = RackSupply::Unknown;
            self.state.supply_since_ms = now_ms;
        }
        self.dirty = true;
        let Some(outage) = &mut self.state.outage else { return };
        let (kind, number) = (outage.kind, outage.number);
        // What was to be done at once may not have been done.
        self.actions.push(Action::Begun { number, kind });
        if let (Cut::Wanted { delay_s, .. }, true) = (outage.cut, same_boot) {
            outage.cut = Cut::Wanted { at_ms: now_ms, delay_s };
            self.actions.push(Action::Cut { delay_s });
        }
        if !same_boot && kind == Kind::Mains {
            // The master was the last: what was not off has lost its power with it, or will say so.
            for track in outage.nodes.values_mut() {
                track.power_off_ms = None;
                if track.phase.going() || track.phase == Phase::Aborting {
                    track.phase = Phase::Missing;
                    track.was_gone = true;
                    track.since_ms = now_ms;
                }
            }
            outage.relief_since_ms = None;
            self.set_direction(Direction::Up, now_ms);
        }
        let how =
            if same_boot { "the controller goes on after a restart" } else { "the controller's host is up again" };
        self.tell(None, "controller.restarted", Severity::Warning, how);
        if !same_boot && kind != Kind::Mains {
            self.close(context.now_ms, Severity::Info, "ended with the controller's host");
        }
    }
}
