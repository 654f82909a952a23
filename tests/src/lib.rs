//! The harness of the tests and benches: real processes in temporary folders.

pub mod fuzz;
pub mod sim;
