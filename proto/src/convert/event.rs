use crate::model::{Event, Invalid, Severity};
use crate::v1;

impl TryFrom<v1::Severity> for Severity {
    type Error = Invalid;

    fn try_from(wire: v1::Severity) -> Result<Self, Invalid> {
        match wire {
            v1::Severity::Info => Ok(Self::Info),
            v1::Severity::Warning => Ok(Self::Warning),
            v1::Severity::Critical => Ok(Self::Critical),
            v1::Severity::Unspecified => Err(Invalid::new("severity", "is missing")),
        }
    }
}

impl From<Severity> for v1::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = Invalid;

    fn try_from(wire: v1::Event) -> Result<Self, Invalid> {
        let severity = v1::Severity::try_from(wire.severity)
            .map_err(|_| Invalid::new("event.severity", format!("{} is not known", wire.severity)))?;
        let event = Self {
            id: wire.id.parse()?,
            kind: wire.kind,
            severity: severity.try_into()?,
            message: wire.message,
            wall_unix_ms: wire.wall_unix_ms,
            age_ms: wire.age_ms,
        };
        event.check()?;
        Ok(event)
    }
}

impl From<Event> for v1::Event {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind,
            severity: v1::Severity::from(event.severity).into(),
            message: event.message,
            wall_unix_ms: event.wall_unix_ms,
            age_ms: event.age_ms,
        }
    }
}
