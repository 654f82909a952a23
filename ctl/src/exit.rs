use std::process::ExitCode;

/// How a run of ctl ends, for scripts. `docs/ctl.md` promises these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// All went well.
    Fine,
    /// Tried, and failed.
    Failed,
    /// The command line or its input was wrong; nothing was tried.
    Usage,
    /// `status --check` found the fleet degraded or critical.
    Unhealthy,
    /// No controller could be reached, or none that can be trusted.
    Unreachable,
    /// The controller knows who asks, or that it does not, and refuses.
    NotAllowed,
}

impl ExitStatus {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unhealthy => 3,
            Self::Unreachable => 4,
            Self::NotAllowed => 5,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
