//! Trees that can be browsed: each run makes a new one, in which what did not change is the same file as in the one
//! before, by hard links. Nothing in an earlier tree is ever written to.

mod assemble;
mod attributes;
mod content;
mod copy;
mod earlier;
mod folders;
mod job;
mod journal;
mod pipeline;
mod place;
mod read;
mod remote;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;
mod verify;

pub use read::ReadError;
pub use remote::{Far, make_far, restore_far};
pub use restore::{Restore, Restored, restore};
pub use snapshot::{Made, Snapshot, TreeError, make};
pub use verify::{Check, Checked, verify};
