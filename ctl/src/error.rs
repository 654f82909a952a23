use std::fmt;
use std::io;

use rackhaven_pki::PkiError;
use rackhaven_pki::durable::StateError;
use rackhaven_proto::Invalid;

use crate::exit::ExitStatus;
use crate::text::Text;

/// Why a command ended early: what to tell the person, what to do next, and the exit status.
#[derive(Debug)]
pub(crate) struct CtlError {
    status: ExitStatus,
    message: String,
    hint: Option<String>,
}

impl CtlError {
    /// Tried, and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: ExitStatus::Failed, message: message.into(), hint: None }
    }

    /// The command line or its input is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: ExitStatus::Usage, message: message.into(), hint: None }
    }

    /// No controller that can be talked to.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { status: ExitStatus::Unreachable, message: message.into(), hint: None }
    }

    /// Refused by the controller.
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self { status: ExitStatus::NotAllowed, message: message.into(), hint: None }
    }

    /// The reader of standard output has gone (`ctl … | head`): there is nothing more to do, and nothing to tell.
    pub(crate) fn reader_gone() -> Self {
        Self { status: ExitStatus::Fine, message: String::new(), hint: None }
    }

    /// The controller's answer does not fit the contract.
    pub(crate) fn strange_answer(invalid: &Invalid) -> Self {
        Self::failed(format!("the controller's answer is not understood: {}", Text::new(&invalid.to_string())))
            .hint("is this ctl older than the controller? compare `ctl --version` with the controller's version")
    }

    /// Adds the next step.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says in front what was being done.
    pub(crate) fn during(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The exit status that it leads to.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    /// The cause alone.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl From<PkiError> for CtlError {
    fn from(error: PkiError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<StateError> for CtlError {
    fn from(error: StateError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<io::Error> for CtlError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::reader_gone(),
            _ => Self::failed(format!("writing the output: {error}")),
        }
    }
}
