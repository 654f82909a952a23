//! UPSes over the protocol of Network UPS Tools (RFC 9271): a client that reads them and tells them to cut.
//!
//! The codec is our own, because the crates that exist (`rups`, before that `nut-client`) have not followed rustls for
//! years, offer no bound on what a server may send, and have no server side.

mod ability;
mod address;
mod client;
mod cut;
mod error;
pub mod facade;
mod line;
mod reading;
mod tls;
mod watch;

pub use ability::CutAbility;
pub use address::{UpsAddress, UpsConfig, UpsUser};
pub use client::Connection;
pub use cut::{CutDone, UpsHandle};
pub use error::{Refusal, UpsError};
pub use line::{Answer, LineError, ListKind, MAX_LINE_BYTES, MAX_LIST_LINES, Password, Request, RequestError};
pub use reading::{UpsReading, UpsStatus};
pub use tls::TlsMode;
pub use watch::{UpsIndex, UpsReport, watch};
