//! What goes wrong on demand.

use std::time::Duration;

use super::request::Request;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered, but so much later.
    Slow(Duration),
    /// It is never answered.
    Hang,
    /// It is refused with this status, 429, 500 or 503, and nothing is done.
    Status(u16),
    /// It is carried out, and the connection ends before the answer.
    Lost,
    /// The connection ends, and nothing is done.
    Drop,
}

/// Which requests a fault meets.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// GET, POST, …; empty for all.
    pub method: String,
    /// A part of the path; empty for all.
    pub path: String,
    /// What becomes of them.
    pub fault: Fault,
    /// So many of them; the next pass.
    pub times: u32,
}

impl FaultRule {
    /// All requests to a path.
    pub fn all(path: &str, fault: Fault) -> Self {
        Self { method: String::new(), path: path.to_owned(), fault, times: u32::MAX }
    }

    pub(super) fn meets(&self, request: &Request) -> bool {
        self.times > 0 && (self.method.is_empty() || self.method == request.method) && request.path.contains(&self.path)
    }
}
