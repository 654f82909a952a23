//! K3s, as controller, agent and ctl speak of it.

mod artifact;

pub use artifact::{Arch, Artifact, ArtifactKind, Digest, K3sVersion};
