//! How long the way down takes, and when each node would begin it.

use rackhaven_proto::model::{AlonePlan, NodeName, PowerNotice, Supply};

use super::state::{Direction, Kind, Phase};
use super::supply::RackSupply;
use super::{Context, Core};
use crate::power::policy::Stage;

/// A node that hears nothing begins so much later than the controller would have it begin, milliseconds.
const ALONE_GRACE_MS: u64 = 5000;

impl Core {
    /// How long a node is expected to take from order to silence, milliseconds, and whether that was learnt.
    pub fn expected_ms(&self, context: &Context<'_>, node: &NodeName) -> (u64, bool) {
        let learnt = self.state.learnt.get(node).and_then(super::learnt::Learnt::expected_ms);
        let expected = learnt.unwrap_or(context.policy.expected_ms);
        (expected.min(context.policy.cap_ms()), learnt.is_some())
    }

    /// Whether a node still has to be waited for.
    fn counts(&self, node: &NodeName) -> bool {
        match self.state.outage.as_ref().and_then(|outage| outage.nodes.get(node)) {
            Some(track) => !track.phase.settled(),
            None => self.present.contains_key(node),
        }
    }

    /// How long a stage is expected to take: as long as its slowest node that counts, milliseconds.
    pub fn stage_expected_ms(&self, context: &Context<'_>, stage: usize) -> u64 {
        let nodes = context.roster.members.iter().filter(|(node, member)| member.stage == stage && self.counts(node));
        let slowest_ms = nodes.map(|(node, _)| self.expected_ms(context, node).0).max().unwrap_or(0);
        let of_clients = |stage: &Stage| stage.clients_ms.filter(|_| self.clients.contains(&stage.name));
        slowest_ms.max(context.roster.stages.get(stage).and_then(of_clients).unwrap_or(0))
    }

    /// How long all stages take one after another, milliseconds.
    pub fn critical_path_ms(&self, context: &Context<'_>) -> u64 {
        (0..context.roster.stages.len()).map(|stage| self.stage_expected_ms(context, stage)).sum()
    }

    /// What is left in the battery, milliseconds: as long as enough UPSes last. None on mains.
    pub fn runtime_left_ms(&self, context: &Context<'_>) -> Option<u64> {
        let policy = context.policy;
        match self.state.supply {
            RackSupply::Mains | RackSupply::Unknown => None,
            RackSupply::Dark => {
                let spent = context.now_ms.saturating_sub(self.state.supply_since_ms);
                Some(policy.assumed_runtime_ms.saturating_sub(spent))
            }
            RackSupply::Battery => {
                let left = |ups: &super::supply::UpsTrack| ups.runtime_left_ms(policy, context.now_ms);
                let mut each: Vec<u64> = self.state.upses.iter().map(|ups| left(ups).unwrap_or(u64::MAX)).collect();
                each.sort_unstable_by_key(|left| std::cmp::Reverse(*left));
                each.get(policy.minimum_supplies.saturating_sub(1)).copied().filter(|left| *left < u64::MAX)
            }
        }
    }

    /// How long until the shutdown begins by time alone, milliseconds; none if it has begun or the battery rests.
    pub fn begins_in_ms(&self, context: &Context<'_>) -> Option<u64> {
        let outage = self.state.outage.as_ref()?;
        if outage.direction != Direction::Watching || !self.state.supply.drains() {
            return None;
        }
        let need_ms = self.critical_path_ms(context).saturating_add(context.policy.margin_ms);
        let by_budget = self.runtime_left_ms(context).map(|left| left.saturating_sub(need_ms));
        let spent_ms = context.now_ms.saturating_sub(self.state.supply_since_ms);
        let by_time = context.policy.time_ms.map(|limit| limit.saturating_sub(spent_ms));
        by_budget.into_iter().chain(by_time).min()
    }

    /// When each stage would begin if nothing more were heard, milliseconds from now.
    fn stages_begin_in_ms(&self, context: &Context<'_>) -> Option<Vec<u64>> {
        let outage = self.state.outage.as_ref().filter(|outage| outage.kind == Kind::Mains)?;
        let mut begin_ms = match outage.direction {
            _ if !self.state.supply.drains() => return None,
            Direction::Watching => self.begins_in_ms(context)?,
            Direction::Down => 0,
            Direction::Up => return None,
        };
        let mut begins = Vec::with_capacity(context.roster.stages.len());
        for (index, stage) in context.roster.stages.iter().enumerate() {
            begins.push(begin_ms);
            let expected_ms = self.stage_expected_ms(context, index);
            let left_ms = match outage.stages.get(&stage.name) {
                _ if expected_ms == 0 => 0,
                None => expected_ms,
                Some(begun) => {
                    let spent_ms = context.now_ms.saturating_sub(begun.begun_ms);
                    match expected_ms.checked_sub(spent_ms) {
                        Some(left_ms) if left_ms > 0 => left_ms,
                        _ => self.late_stage_left_ms(context, index, stage, spent_ms),
                    }
                }
            };
            begin_ms = begin_ms.saturating_add(left_ms);
        }
        Some(begins)
    }

    /// A stage takes longer than expected: how long the next still waits for it, milliseconds. To its cap, unless the
    /// battery does not last so long.
    fn late_stage_left_ms(&self, context: &Context<'_>, index: usize, stage: &Stage, spent_ms: u64) -> u64 {
        let cap_ms = stage.cap_ms.unwrap_or(u64::MAX).min(context.policy.cap_ms());
        let rest_ms: u64 =
            (index + 1..context.roster.stages.len()).map(|later| self.stage_expected_ms(context, later)).sum();
        let reserve_ms = context.policy.margin_ms / 2;
        let spare_ms =
            self.runtime_left_ms(context).map(|left| left.saturating_sub(rest_ms.saturating_add(reserve_ms)));
        cap_ms.saturating_sub(spent_ms).min(spare_ms.unwrap_or(u64::MAX))
    }

    /// What each node with a session is to know of the supply.
    pub fn notices(&self, context: &Context<'_>) -> Vec<(NodeName, PowerNotice)> {
        let begins = self.stages_begin_in_ms(context);
        let present = self.present.keys();
        present.map(|node| (node.clone(), self.notice(context, node, begins.as_deref()))).collect()
    }

    fn notice(&self, context: &Context<'_>, node: &NodeName, begins: Option<&[u64]>) -> PowerNotice {
        let supply = match self.state.supply {
            RackSupply::Mains => Supply::Mains,
            RackSupply::Battery | RackSupply::Dark => Supply::Battery,
            RackSupply::Unknown => Supply::Unknown,
        };
        let alone = begins.and_then(|begins| self.alone(context, node, begins));
        PowerNotice { supply, alone, hold_k3s: self.state.held.contains(node) }
    }

    /// What a node does if it hears nothing more. Whoever has its order needs no more than that.
    fn alone(&self, context: &Context<'_>, node: &NodeName, begins: &[u64]) -> Option<AlonePlan> {
        let outage = self.state.outage.as_ref()?;
        let (track, member) = outage.nodes.get(node).zip(context.roster.members.get(node))?;
        let (attempt, begin_ms) = match track.phase {
            Phase::Running | Phase::Absent | Phase::Back | Phase::Returning => {
                (track.attempt.saturating_add(1), *begins.get(member.stage)?)
            }
            Phase::Ordered if outage.order_id(track.attempt).ok() == track.order => (track.attempt, 0),
            _ => return None,
        };
        let order_id = outage.order_id(attempt).ok()?;
        let begin_in_ms = begin_ms.saturating_add(ALONE_GRACE_MS);
        Some(AlonePlan { order_id, begin_in_ms, steps: context.policy.steps.clone() })
    }
}
