//! The command to the UPSes to cut the load and to bring it back with mains.

use rackhaven_proto::model::{NodeName, Severity};

use super::state::{Cut, Direction, Kind, Outage, Phase, Track};
use super::supply::UpsTrack;
use super::up::AWAY_MS;
use super::{Action, Context, Core};

/// How long the UPSes may take to take the command, milliseconds.
const CUT_ANSWER_MS: u64 = 10_000;

impl Core {
    /// Whether a UPS can cut the load, late enough for the master, and bring it back. A master that cannot be told to
    /// go before would lose its power while it runs.
    pub(super) fn can_cut(&self, context: &Context<'_>) -> bool {
        context.policy.cut
            && context.roster.host_safe
            && context.roster.master().is_none_or(|master| self.away_ms(context, master) < AWAY_MS)
            && self.state.upses.iter().any(|ups| self.cut_delay_s(context, ups).is_some())
    }

    /// After how many seconds a UPS would cut: late enough for the master, by what was learnt of it, and some more, and
    /// for all that are still on their way.
    pub fn cut_delay_s(&self, context: &Context<'_>, ups: &UpsTrack) -> Option<u32> {
        let cut = ups.last?.cut?;
        let master_ms = context.roster.master().map_or(0, |master| self.expected_ms(context, master).0);
        let need_ms = (master_ms.saturating_mul(5) / 4).max(self.others_need_ms(context));
        let need_s = u32::try_from(need_ms / 1000).unwrap_or(u32::MAX).saturating_add(15);
        match cut.delay_s {
            Some(delay_s) if delay_s >= need_s => Some(delay_s),
            _ if cut.settable => Some(need_s),
            _ => None,
        }
    }

    /// In how long the last of those that are on their way will be given up, milliseconds.
    fn others_need_ms(&self, context: &Context<'_>) -> u64 {
        let Some(outage) = &self.state.outage else { return 0 };
        let is_master = |node: &NodeName| context.roster.members.get(node).is_some_and(|member| member.master);
        let going = outage.nodes.iter().filter(|(node, track)| track.phase.going() && !is_master(node));
        let left =
            |track: &Track| track.ordered_ms.saturating_add(context.policy.cap_ms()).saturating_sub(context.now_ms);
        going.map(|(_, track)| left(track)).max().unwrap_or(0)
    }

    /// Sees to it that the UPSes are told to cut the load before the master goes; whether that is done, or not to be.
    /// With mains back the master goes only if the UPS will cut: nothing else would bring it back.
    pub(super) fn master_may_go(&mut self, context: &Context<'_>) -> bool {
        let Some(outage) = &self.state.outage else { return true };
        if outage.kind != Kind::Mains || outage.direction != Direction::Down {
            return true;
        }
        let finish = outage.finish;
        match outage.cut {
            Cut::Told { .. } => true,
            Cut::Failed => !finish,
            Cut::Wanted { at_ms, .. } if context.now_ms.saturating_sub(at_ms) >= CUT_ANSWER_MS => {
                self.cut_ended(context, false, "no answer from the UPS".to_owned());
                !finish
            }
            Cut::Wanted { .. } => false,
            Cut::Not => {
                // It could not be told to go.
                let unheard = |master| (1..AWAY_MS).contains(&self.away_ms(context, master));
                if context.roster.master().is_some_and(unheard) || self.may_have_others(context, outage) {
                    return false;
                }
                let delays = self.state.upses.iter().filter_map(|ups| self.cut_delay_s(context, ups));
                let Some(delay_s) = delays.max().filter(|_| self.can_cut(context)) else { return !finish };
                if let Some(outage) = &mut self.state.outage {
                    outage.cut = Cut::Wanted { at_ms: context.now_ms, delay_s };
                    self.dirty = true;
                }
                self.actions.push(Action::Cut { delay_s });
                false
            }
        }
    }

    /// Whether this run of the controller is so young that nodes may run that it has not heard yet.
    fn may_have_others(&self, context: &Context<'_>, outage: &Outage) -> bool {
        let unheard = |(node, track): (&NodeName, &Track)| {
            let may_run =
                matches!(track.phase, Phase::Absent | Phase::Missing) || (self.booted && track.phase == Phase::Off);
            may_run && !self.present.contains_key(node) && !self.away_since_ms.contains_key(node)
        };
        context.now_ms.saturating_sub(self.begun_ms) < AWAY_MS && outage.nodes.iter().any(unheard)
    }

    pub(super) fn cut_ended(&mut self, context: &Context<'_>, told: bool, message: String) {
        let Some(outage) = &mut self.state.outage else { return };
        let Cut::Wanted { delay_s, .. } = outage.cut else { return };
        outage.cut = if told { Cut::Told { at_ms: context.now_ms, delay_s } } else { Cut::Failed };
        self.dirty = true;
        let (severity, text) = match told {
            true => (
                Severity::Info,
                format!("the UPS will cut the load in {delay_s} s, and bring it back with mains: {message}"),
            ),
            false => (Severity::Critical, format!("the UPS could not be told to cut the load: {message}")),
        };
        self.tell(None, "ups.cut", severity, text);
    }
}
