//! What Prometheus is told, and who asks whether the controller is well: plain HTTP, off unless it is configured.
//!
//! `gather` looks at what the controller knows; the rest of the way, from a snapshot to the text, is pure. A subject has
//! one file that writes its metrics (`of_nodes`, `of_power`, `of_backups`); all names stand in `catalogue`.

pub mod catalogue;
/// The `[metrics]` table.
pub mod config;
mod door;
mod exposition;
mod gather;
mod health;
mod listener;
mod negotiate;
mod of_backups;
mod of_k3s;
mod of_nodes;
mod of_power;
mod page;
mod process;
mod snapshot;

pub use exposition::expose;
pub use listener::{Listener, listeners};
pub use page::Form;
pub use snapshot::{ControllerFigures, NodeFigures, Snapshot};
