//! The contract between agent, controller and ctl: the generated wire types, the validated vocabulary, and the way
//! from the one to the other.

pub mod codec;
pub mod convert;
pub mod daemon;
pub mod model;

/// The wire types and services of version 1, generated from the files in `proto/rackhaven/v1`.
#[allow(missing_docs, clippy::all, rustdoc::all, unreachable_pub, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("rackhaven.v1");
}

pub use model::Invalid;

/// Version of the session protocol that this build speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// This build's version, the same in all of its binaries.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
