//! K3s on the nodes, as the controller sees to it.

pub mod api;
mod artifacts;
pub mod cluster;
/// Whose cordon it is.
pub mod cordon;
/// Getting pods off a node.
pub mod drain;
/// The cluster's nodes.
pub mod nodes;
mod orders;
mod progress;
/// What runs in the cluster.
pub mod workloads;

pub use artifacts::{ArtifactError, Artifacts, Incoming};
pub use orders::{Heard, OrderDesk};
pub use progress::step;
