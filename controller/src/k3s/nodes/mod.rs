//! The cluster's nodes, as its API tells of them.

mod facts;

pub use facts::{NodeFacts, find};
