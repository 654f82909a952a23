//! The lines of the protocol, both ways, as pure functions of text.

mod answer;
mod request;
mod words;

pub use answer::Answer;
pub use request::{ListKind, Password, Request, RequestError};

/// Longest line that is taken, bytes without its end.
pub const MAX_LINE_BYTES: usize = 1024;
/// Most lines of one list.
pub const MAX_LIST_LINES: usize = 1024;

/// Why a line is none of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`MAX_LINE_BYTES`].
    #[error("a line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// A quotation or an escape has no end.
    #[error("a quotation has no end in {0:?}")]
    Unended(String),
    /// Not an answer that is known.
    #[error("{0:?} is no answer")]
    Unknown(String),
}
