//! What people ask: take down, rehearse, end it.

use std::collections::BTreeSet;

use rackhaven_proto::model::{NodeName, Severity};

use super::state::{Cut, Direction, Kind, Phase, Track};
use super::supply::Cause;
use super::{Action, Context, Core};

/// Whom a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Everything, the master last.
    pub all: bool,
    /// These nodes.
    pub nodes: BTreeSet<NodeName>,
}

/// What an abort leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Aborted {
    /// Nodes that stay.
    pub kept: Vec<NodeName>,
    /// Nodes that are off, or will be, and are brought back.
    pub coming_back: Vec<NodeName>,
    /// What is to be done.
    pub actions: Vec<Action>,
}

/// Why a request was refused, for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is something going on already.
    #[error("outage {number} ({kind}) goes on; see `ctl power status`, end it with `ctl power abort`")]
    Busy {
        /// Its number.
        number: u64,
        /// Its kind's word.
        kind: &'static str,
    },
    /// Nobody of them is up.
    #[error("none of these nodes is up")]
    NobodyUp,
    /// Nothing goes on that could be ended.
    #[error("no shutdown goes on")]
    NothingToAbort,
    /// The UPS will cut the load.
    #[error("too late: the UPS was told to cut the load")]
    TooLate,
}

impl Core {
    /// Takes nodes down because somebody asked; the outage's number.
    ///
    /// # Errors
    /// When something else goes on already, other than an outage in which nobody goes yet.
    pub fn shutdown(
        &mut self,
        context: &Context<'_>,
        targets: &Targets,
        cause: Cause,
    ) -> Result<(u64, Vec<Action>), Refused> {
        self.ask(context, targets, cause, Kind::Manual)
    }

    /// Rehearses the shutdown of nodes; its number.
    ///
    /// # Errors
    /// When something else goes on already.
    pub fn drill(
        &mut self,
        context: &Context<'_>,
        targets: &Targets,
        cause: Cause,
    ) -> Result<(u64, Vec<Action>), Refused> {
        self.ask(context, targets, cause, Kind::Drill)
    }

    fn ask(
        &mut self,
        context: &Context<'_>,
        targets: &Targets,
        cause: Cause,
        kind: Kind,
    ) -> Result<(u64, Vec<Action>), Refused> {
        let chosen = |node: &NodeName| targets.all || targets.nodes.contains(node);
        if !self.present.keys().any(chosen) {
            return Err(Refused::NobodyUp);
        }
        match &self.state.outage {
            None => self.open(context, kind, Direction::Down),
            // On battery an admin may decide before the triggers do.
            Some(outage) if outage.direction == Direction::Watching && kind == Kind::Manual => {
                if targets.all {
                    self.set_direction(Direction::Down, context.now_ms);
                }
            }
            Some(outage) => return Err(Refused::Busy { number: outage.number, kind: outage.kind.as_str() }),
        }
        let text = format!("{}: {cause}", if kind == Kind::Drill { "drill" } else { "shutting down" });
        let Some(outage) = &mut self.state.outage else { return Err(Refused::NothingToAbort) };
        outage.everything |= targets.all;
        outage.goal.extend(outage.nodes.keys().filter(|node| chosen(node)).cloned());
        outage.cause = Some(cause);
        let number = outage.number;
        self.dirty = true;
        self.tell(None, "outage.trigger", Severity::Warning, text);
        self.advance(context);
        Ok((number, std::mem::take(&mut self.actions)))
    }

    /// Ends a shutdown or drill: who has not gone stays, who is off comes back. In an outage the triggers may start it
    /// again.
    ///
    /// # Errors
    /// When nothing goes on, or the UPS will cut the load.
    pub fn abort(&mut self, context: &Context<'_>) -> Result<Aborted, Refused> {
        let Some(outage) = &mut self.state.outage else { return Err(Refused::NothingToAbort) };
        let told = |track: &Track| matches!(track.phase, Phase::Ordered | Phase::Stopping);
        if outage.direction != Direction::Down && !outage.nodes.values().any(told) {
            return Err(Refused::NothingToAbort);
        }
        if matches!(outage.cut, Cut::Wanted { .. } | Cut::Told { .. }) {
            return Err(Refused::TooLate);
        }
        let (gone, kept): (Vec<_>, Vec<_>) = outage
            .nodes
            .iter()
            .filter(|(_, track)| !matches!(track.phase, Phase::Absent | Phase::Running | Phase::Back))
            .partition(|(_, track)| track.phase.gone());
        let names = |list: Vec<(&NodeName, &Track)>| list.into_iter().map(|(node, _)| node.clone()).collect();
        let (kept, gone) = (names(kept), names(gone));
        if outage.kind == Kind::Mains && self.state.supply.drains() {
            self.stay_on_battery(context);
        } else {
            // Nor does it go on to its end for the sake of some.
            (outage.everything, outage.finish) = (false, false);
            self.set_direction(Direction::Up, context.now_ms);
        }
        self.tell(None, "outage.trigger", Severity::Warning, "aborted: who has not gone stays");
        self.advance(context);
        Ok(Aborted { kept, coming_back: gone, actions: std::mem::take(&mut self.actions) })
    }

    /// Nobody goes any more until a trigger has held anew, and no stage is shed.
    fn stay_on_battery(&mut self, context: &Context<'_>) {
        let now_ms = context.now_ms;
        self.state.upses.iter_mut().for_each(|ups| ups.doubt(now_ms));
        let Some(outage) = &mut self.state.outage else { return };
        outage.no_shed = true;
        outage.nodes.values_mut().filter(|track| track.phase.going()).for_each(|track| track.keep_off = false);
        outage.watch_anew();
        let told = outage.nodes.iter().filter(|(_, track)| matches!(track.phase, Phase::Ordered | Phase::Stopping));
        let told: Vec<NodeName> = told.map(|(node, _)| node.clone()).collect();
        self.set_direction(Direction::Watching, now_ms);
        for node in told {
            self.set_phase(&node, Phase::Aborting, now_ms);
            self.send_abort(context, &node);
        }
    }
}
