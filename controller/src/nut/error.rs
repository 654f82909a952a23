use std::path::PathBuf;

use super::line::{LineError, MAX_LIST_LINES};

/// Why a UPS could not be read or told something.
#[derive(Debug, thiserror::Error)]
pub enum UpsError {
    /// Its host's name leads nowhere, or nobody listens.
    #[error("connecting to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// The connection ended or broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer to {asked} within {seconds} s")]
    Late {
        /// The first words of the request.
        asked: &'static str,
        /// How long was waited.
        seconds: f32,
    },
    /// The server refuses.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// What came is not of the protocol.
    #[error("the server does not speak NUT's protocol: {0}")]
    Line(#[from] LineError),
    /// What came is of the protocol but does not answer what was asked.
    #[error("the server answered {asked} with something else: {answer:?}")]
    Unexpected {
        /// The first words of the request.
        asked: &'static str,
        /// Its answer's beginning.
        answer: String,
    },
    /// A list that does not end.
    #[error("the server's list is longer than {MAX_LIST_LINES} lines")]
    ListTooLong,
    /// TLS could not be agreed on.
    #[error("TLS with the server: {0}")]
    Tls(String),
    /// TLS is required, and the server has none.
    #[error("the server offers no TLS, and tls is \"required\"")]
    TlsMissing,
    /// A file that the configuration names.
    #[error("reading {}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The UPS has no command that cuts the load and brings it back.
    #[error("the UPS has neither shutdown.return nor load.off.delay with load.on.delay")]
    NoCut,
    /// The UPS would cut sooner than asked, and its delay cannot be set.
    #[error("the UPS would cut {}, which is sooner than {wanted_s} s, and its delay cannot be set{why}", told(*.delay_s))]
    CutTooSoon {
        /// Its own delay, where it tells it.
        delay_s: Option<u32>,
        /// What was asked.
        wanted_s: u32,
        /// What the server said, behind a colon; empty if it offers no setting at all.
        why: String,
    },
}

fn told(delay_s: Option<u32>) -> String {
    delay_s.map_or_else(|| "after a time that it does not tell".to_owned(), |delay_s| format!("after {delay_s} s"))
}

/// An `ERR` of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked, its first words.
    pub asked: &'static str,
    /// Such as `DATA-STALE`.
    pub code: String,
    /// What the server added; may be empty.
    pub text: String,
}

impl Refusal {
    /// What the code means for an admin; empty for unknown ones.
    pub fn meaning(&self) -> &'static str {
        match (self.code.as_str(), self.asked) {
            ("DATA-STALE", _) => "the driver has lost the UPS",
            ("DRIVER-NOT-CONNECTED", _) => "the UPS's driver does not run",
            ("UNKNOWN-UPS", _) => "the server has no UPS of this name",
            ("ACCESS-DENIED", "LOGIN") => {
                "wrong user or password, or the server's upsd.users gives the user no \"upsmon\" line"
            }
            ("ACCESS-DENIED", "INSTCMD") => {
                "wrong user or password, or upsd.users allows the user no \"instcmds\" for it"
            }
            ("ACCESS-DENIED", "SET VAR") => {
                "wrong user or password, or upsd.users allows the user no \"actions = SET\""
            }
            ("ACCESS-DENIED", _) => "the server allows this address or user nothing",
            ("USERNAME-REQUIRED" | "PASSWORD-REQUIRED", _) => "needs user and password_file in the configuration",
            ("CMD-NOT-SUPPORTED", _) => "the UPS does not know this command",
            ("VAR-NOT-SUPPORTED", _) => "the UPS does not know this variable",
            ("READONLY", _) => "the UPS does not let it be set",
            ("INVALID-VALUE" | "TOO-LONG", _) => "the UPS does not take this value",
            ("INSTCMD-FAILED", _) => "the driver could not hand the command to the UPS",
            ("SET-FAILED", _) => "the driver could not set it",
            ("FEATURE-NOT-CONFIGURED" | "FEATURE-NOT-SUPPORTED", "STARTTLS") => "the server has no certificate",
            ("ALREADY-SSL-MODE" | "TLS-ALREADY-ENABLED", _) => "TLS is on already",
            _ => "",
        }
    }
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was refused: {}", self.asked, self.code)?;
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        match self.meaning() {
            "" => Ok(()),
            meaning => write!(f, " ({meaning})"),
        }
    }
}
