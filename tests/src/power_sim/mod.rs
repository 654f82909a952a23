//! Outages by the thousand: the controller's policy core and the agents' cores as they ship, with a rack, a network and
//! time made up around them. A run is given by its seed, and the same seed gives the same run.

mod checks;
mod control;
mod dice;
mod go_on;
mod host;
mod scenario;
mod ups;
mod wire;
mod world;

pub use checks::Outcome;
pub use dice::Dice;
pub use go_on::go_on_from;
pub use scenario::{Ask, HostPlan, Luck, Scenario, Turn, UpsPlan, Who};

use world::World;

/// Lets a scenario happen; with `trace`, everything that happens is printed.
///
/// # Errors
/// What must not be and was, with the moment.
pub fn run(scenario: &Scenario, trace: bool) -> Result<Outcome, String> {
    World::new(scenario, trace).run()
}
