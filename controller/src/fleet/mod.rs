//! The nodes: who is there, how they are, and what that means.

mod health;
mod liveness;
mod reading;
mod registry;
mod session;

pub(crate) use health::{CERTIFICATE_MS, span, storage_ails};
pub use health::{Problem, fleet_verdict, node_problems};
pub use liveness::{Liveness, Thresholds};
pub use reading::{Figures, Reading};
pub use registry::{Attached, NodeView, Registry, SessionConflict, StateChange};
pub use session::{Outbox, SessionId};
