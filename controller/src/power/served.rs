//! The UPS as others take it from the controller, and which of them are still there.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use super::config::FacadeSettings;
use super::core::Event;
use super::core::state::{Direction, Kind};
use crate::clock::Clock;
use crate::nut::facade::{ClientState, Facade, FacadeError, FacadeState};

/// The facade that runs.
pub(super) struct Served {
    facade: Facade,
    state: watch::Sender<FacadeState>,
    present: BTreeSet<String>,
}

impl Served {
    /// Begins to serve.
    ///
    /// # Errors
    /// When an address cannot be listened at, or a password cannot be read.
    pub(super) fn start(settings: &FacadeSettings, clock: Arc<Clock>) -> Result<Self, FacadeError> {
        let (state, states) = watch::channel(FacadeState { stale: true, ..FacadeState::default() });
        let facade = Facade::serve(&settings.listen, settings.served.clone(), states, clock)?;
        Ok(Self { facade, state, present: BTreeSet::new() })
    }

    /// Tells the clients what is now.
    pub(super) fn tell(&self, shared: &Shared) {
        let Some(ups) = shared.upses.first() else { return };
        let outage = shared.core.state().outage.as_ref();
        let last = shared.roster.stages.last().is_some_and(|last| {
            outage.is_some_and(|outage| {
                let down = outage.kind == Kind::Mains && outage.direction == Direction::Down && outage.everything;
                down && outage.stages.contains_key(&last.name)
            })
        });
        let now = FacadeState {
            vars: Arc::clone(&ups.vars),
            stale: !ups.problem.is_empty() || ups.reading.is_none(),
            fsd_stages: shared.core.stages_down(),
            fsd_all: last,
        };
        self.state.send_if_modified(|old| {
            let changed = !Arc::ptr_eq(&old.vars, &now.vars)
                || (old.stale, &old.fsd_stages, old.fsd_all) != (now.stale, &now.fsd_stages, now.fsd_all);
            *old = now;
            changed
        });
    }

    /// The stages whose clients have come or gone. One that was told to go counts until its stage's time is over: that
    /// it has left says that it is going, not that it is off.
    pub(super) fn changes(&mut self) -> Vec<Event> {
        let there = |state: ClientState, told: bool| state == ClientState::LoggedIn || told;
        let clients = self.facade.clients();
        let now: BTreeSet<String> = clients
            .into_iter()
            .filter(|client| there(client.state, client.told))
            .filter_map(|client| client.stage)
            .collect();
        let before = std::mem::replace(&mut self.present, now);
        let event = |stage: &String, present| Event::Clients { stage: stage.clone(), present };
        let come = self.present.difference(&before).map(|stage| event(stage, true));
        let gone = before.difference(&self.present).map(|stage| event(stage, false));
        come.chain(gone).collect()
    }
}
