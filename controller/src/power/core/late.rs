//! Who comes late: nodes that enrol while an outage goes on, and nodes that go while they are told to stay.

use rackhaven_proto::model::{NodeName, Severity};

use super::state::{Cut, Direction, Phase, Track};
use super::{Context, Core};

impl Core {
    /// A node that has enrolled since the outage began, or so shortly before that the roster did not have it yet, goes
    /// with the others.
    pub(super) fn take_in_newcomers(&mut self, context: &Context<'_>) {
        let Some(outage) = &mut self.state.outage else { return };
        let known = |node: &NodeName| context.roster.members.contains_key(node);
        for (node, boot_id) in self.present.iter().filter(|(node, _)| known(node)) {
            if !outage.nodes.contains_key(node) {
                outage.nodes.insert(node.clone(), Track::new(Some(boot_id), context.now_ms));
                self.dirty = true;
            }
        }
    }

    /// It goes on to its end although mains is back, for the sake of these nodes.
    pub(super) fn finish(&mut self, stuck: &[NodeName]) {
        let Some(outage) = &mut self.state.outage else { return };
        outage.finish = true;
        self.dirty = true;
        let names = stuck.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "mains is back, but only a power cycle brings back {names}: the shutdown goes on to its end, then the UPS \
             cuts the load and brings it back"
        );
        self.tell(None, "outage.trigger", Severity::Warning, message);
    }

    /// A node may pass its point of no return while it is told to stay. If only a power cycle brings it back, all that
    /// was turned back goes down again for it.
    pub(super) fn finish_for_crossed(&mut self, context: &Context<'_>) {
        let Some(outage) = self.state.outage.as_ref().filter(|it| it.everything && it.cut == Cut::Not) else { return };
        let since_ms = outage.direction_since_ms;
        let crossed = |node: &NodeName| {
            let off_ms = outage.nodes.get(node).and_then(|track| track.power_off_ms);
            off_ms.is_some_and(|off_ms| off_ms >= since_ms)
        };
        let stuck: Vec<NodeName> = self.stuck(context).into_iter().filter(crossed).collect();
        if stuck.is_empty() || outage.relief_since_ms.is_none() || !self.can_cut(context) {
            return;
        }
        let Some(outage) = &mut self.state.outage else { return };
        outage.stages.clear();
        for track in outage.nodes.values_mut() {
            (track.wakes, track.given_up) = (0, false);
            if matches!(track.phase, Phase::Back | Phase::Returning) {
                track.phase = Phase::Running;
            }
        }
        self.set_direction(Direction::Down, context.now_ms);
        self.finish(&stuck);
    }
}
