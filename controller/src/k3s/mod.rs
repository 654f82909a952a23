//! K3s on the nodes, as the controller sees to it.

mod artifacts;

pub use artifacts::{ArtifactError, Artifacts, Incoming};
