//! K3s on the nodes, as the controller sees to it.

pub mod api;
mod artifacts;
pub mod cluster;
/// Getting pods off a node.
pub mod drain;
mod orders;

pub use artifacts::{ArtifactError, Artifacts, Incoming};
pub use orders::{Heard, OrderDesk};
