//! A drain: the pods of one node are evicted, as far as disruption budgets allow, and never for longer than its deadline.
//! What is to be done is decided in the core, without clock and I/O.

mod budgets;
mod by_hand;
mod core;
mod driver;
mod event;
#[cfg(test)]
mod golden;
mod pod;
mod power;
#[cfg(test)]
mod properties;
mod words;

pub use self::by_hand::{Asked, Emptied, Wanted, drain_by_hand, empty};
pub use self::core::Drain;
pub use self::driver::drive;
pub use self::event::{Action, Answer, Ended, Event, Left, Refusal, Rules, Trouble};
pub use self::pod::{Fate, Owner, PodFacts};
pub use self::power::PowerDrains;
pub use self::words::{left_in_words, refused_in_words};
