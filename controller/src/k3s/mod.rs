//! K3s on the nodes, as the controller sees to it.

mod artifacts;
pub mod cluster;
mod orders;

pub use artifacts::{ArtifactError, Artifacts, Incoming};
pub use orders::{Heard, OrderDesk};
