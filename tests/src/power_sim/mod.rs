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

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use world::World;

/// After so many failures nothing more is simulated.
const MOST_FAILURES: usize = 20;

/// What came of many racks.
#[derive(Debug, Default)]
pub struct Many {
    /// Losses of mains that were seen.
    pub outages: u64,
    /// Racks that were simulated, with the seeds from 0.
    pub racks: u64,
    /// What must not be and was, with the seed to replay it.
    pub failures: Vec<String>,
}

/// Simulates racks of chance, with the seeds from 0, until there were so many outages.
pub fn outages(wanted: u64) -> Many {
    let (outages, racks) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let locked = || failures.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while outages.load(Ordering::Relaxed) < wanted && locked().len() < MOST_FAILURES {
            match try_seed(racks.fetch_add(1, Ordering::Relaxed)) {
                Ok(outcome) => drop(outages.fetch_add(outcome.outages, Ordering::Relaxed)),
                Err(why) => locked().push(why),
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let failures = std::mem::take(&mut *locked());
    Many { outages: outages.into_inner(), racks: racks.into_inner(), failures }
}

/// Simulates the rack of one seed.
///
/// # Errors
/// What must not be and was, with the seed to replay it.
pub fn try_seed(seed: u64) -> Result<Outcome, String> {
    run(&Scenario::random(seed), false).map_err(|why| format!("RACKHAVEN_POWER_SEED={seed}: {why}"))
}

/// Lets a scenario happen; with `trace`, everything that happens is printed.
///
/// # Errors
/// What must not be and was, with the moment.
pub fn run(scenario: &Scenario, trace: bool) -> Result<Outcome, String> {
    World::new(scenario, trace).run()
}
