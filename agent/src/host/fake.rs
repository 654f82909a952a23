//! A host made of values, with failure switches. For tests and for simulated fleets; nothing here touches the machine.
//!
//! Each part is a handle: clones share one state, so that a test keeps one and gives the other away.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rackhaven_proto::model::{NodeFacts, Operation};
use rackhaven_proto::v1;

use super::{AskedBeside, ChildError, Clock, PowerSwitch, Probe, Switching};

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct FakeClock(Arc<Mutex<Time>>);

#[derive(Debug)]
struct Time {
    wall_unix_ms: i64,
    monotonic_ms: u64,
    synchronised: bool,
}

impl FakeClock {
    /// A synchronised clock of a board that booted just now.
    pub fn new(wall_unix_ms: i64) -> Self {
        Self(Arc::new(Mutex::new(Time { wall_unix_ms, monotonic_ms: 0, synchronised: true })))
    }

    /// Lets time pass on both clocks.
    pub fn advance_ms(&self, passed_ms: u32) {
        let mut time = lock(&self.0);
        time.wall_unix_ms = time.wall_unix_ms.saturating_add(passed_ms.into());
        time.monotonic_ms = time.monotonic_ms.saturating_add(passed_ms.into());
    }

    /// Makes the wall clock jump.
    pub fn set_wall_unix_ms(&self, wall_unix_ms: i64) {
        lock(&self.0).wall_unix_ms = wall_unix_ms;
    }

    /// Says whether something disciplines the wall clock.
    pub fn set_synchronised(&self, synchronised: bool) {
        lock(&self.0).synchronised = synchronised;
    }
}

impl Clock for FakeClock {
    fn wall_unix_ms(&self) -> i64 {
        lock(&self.0).wall_unix_ms
    }

    fn monotonic_ms(&self) -> u64 {
        lock(&self.0).monotonic_ms
    }

    fn synchronised(&self) -> bool {
        lock(&self.0).synchronised
    }
}

/// A probe that measures what it was told to.
#[derive(Debug, Clone)]
pub struct FakeProbe(Arc<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    facts: NodeFacts,
    sample: v1::Sample,
}

impl FakeProbe {
    /// A board with these facts, on which each measurement gives `sample`.
    pub fn new(facts: NodeFacts, sample: v1::Sample) -> Self {
        Self(Arc::new(Mutex::new(Board { facts, sample })))
    }

    /// What is measured from now on.
    pub fn set_sample(&self, sample: v1::Sample) {
        lock(&self.0).sample = sample;
    }
}

impl Probe for FakeProbe {
    fn facts(&self) -> NodeFacts {
        lock(&self.0).facts.clone()
    }

    fn sample(&mut self) -> v1::Sample {
        lock(&self.0).sample.clone()
    }

    fn take(&mut self, told: AskedBeside) {
        let sample = &mut lock(&self.0).sample;
        match told {
            AskedBeside::Units(states) => (sample.units, sample.k3s) = (states.units, states.k3s),
            AskedBeside::Storage(storage) => sample.storage = storage,
        }
    }
}

/// A power switch that writes down what it was asked for.
#[derive(Debug, Clone, Default)]
pub struct FakePowerSwitch(Arc<Mutex<Switch>>);

#[derive(Debug, Default)]
struct Switch {
    calls: Vec<Operation>,
    fault: Option<Fault>,
}

/// How a [`FakePowerSwitch`] fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Ends with status 1 and these words.
    Refuses(String),
    /// Never answers.
    Hangs,
}

impl FakePowerSwitch {
    /// All attempts so far, the failed ones too, in their order.
    pub fn calls(&self) -> Vec<Operation> {
        lock(&self.0).calls.clone()
    }

    /// Makes the attempts from now on fail, or succeed again with `None`.
    pub fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.0).fault = fault;
    }

    async fn switch(&self, operation: Operation) -> Result<(), ChildError> {
        let fault = {
            let mut switch = lock(&self.0);
            switch.calls.push(operation);
            switch.fault.clone()
        };
        match fault {
            None => Ok(()),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Refuses(said)) => Err(ChildError::Failed {
                command: format!("fake {operation}"),
                // A wait status holds the exit code in its second byte.
                status: ExitStatus::from_raw(1 << 8),
                said,
            }),
        }
    }
}

impl PowerSwitch for FakePowerSwitch {
    fn reboot(&self) -> Switching<'_> {
        Box::pin(self.switch(Operation::Reboot))
    }

    fn power_off(&self) -> Switching<'_> {
        Box::pin(self.switch(Operation::PowerOff))
    }
}

/// A test that panicked elsewhere leaves these plain values whole, so a poisoned lock is as good as any.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::Operation;

    use super::{FakeClock, FakePowerSwitch, Fault};
    use crate::host::{ChildError, Clock, PowerSwitch};

    #[test]
    fn the_clocks_move_apart_only_when_told() {
        let clock = FakeClock::new(1_000);
        let given_away: Box<dyn Clock> = Box::new(clock.clone());
        clock.advance_ms(500);
        assert_eq!((given_away.wall_unix_ms(), given_away.monotonic_ms()), (1_500, 500));
        clock.set_wall_unix_ms(-1);
        assert_eq!((clock.wall_unix_ms(), clock.monotonic_ms()), (-1, 500));
    }

    #[tokio::test]
    async fn the_switch_records_and_fails() {
        let switch = FakePowerSwitch::default();
        assert!(switch.reboot().await.is_ok());
        switch.set_fault(Some(Fault::Refuses("no".to_owned())));
        let refused = switch.power_off().await.map_err(|error: ChildError| error.to_string());
        assert_eq!(refused, Err("\"fake poweroff\" ended with exit status: 1: no".to_owned()));
        assert_eq!(switch.calls(), [Operation::Reboot, Operation::PowerOff]);
    }
}
