//! The network's edge: who connects, how many may, and what each may call.

mod connections;
mod denials;
mod gate;
mod listener;
mod peer;

pub use connections::Connections;
pub use denials::Denials;
pub use gate::{CallContext, Gate, call_context};
pub use listener::{TlsListener, serve_socket};
pub use peer::{Peer, Proof};
