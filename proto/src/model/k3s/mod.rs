//! K3s, as controller, agent and ctl speak of it.

mod artifact;
mod names;
mod order;
mod settings;
mod source;
mod token;

pub use artifact::{Arch, Artifact, ArtifactKind, Digest, K3sVersion};
pub use names::{InterfaceName, K3sLabel, K3sNodeName, K3sPartName, K3sServerUrl, K3sTaint, K3sTlsName};
pub use order::{K3sOrder, K3sOrderId, K3sTask, SnapshotName};
pub use settings::{K3sPlace, K3sRole, K3sServer, K3sSettings};
pub use source::Source;
pub use token::{K3sJoinToken, K3sSecret, K3sTokenFor};
