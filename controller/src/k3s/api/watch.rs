use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, Refused};
use super::lines::Lines;

/// What has happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is new, or new to who watches.
    Added(Value),
    /// It has changed.
    Modified(Value),
    /// It is gone, or no longer what is watched.
    Deleted(Value),
    /// Nothing up to this version.
    Bookmark(Value),
}

impl Event {
    /// The object, as it is now or was last.
    pub fn object(&self) -> &Value {
        match self {
            Self::Added(object) | Self::Modified(object) | Self::Deleted(object) | Self::Bookmark(object) => object,
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    r#type: String,
    object: Value,
}

/// What happens from a version on, as it happens.
#[derive(Debug)]
pub struct Watch {
    lines: Lines,
}

impl Watch {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// The next event; none when the server ends it, as it does now and then: it goes on from the last version that was
    /// seen.
    ///
    /// # Errors
    /// [`ApiError::is_expired`] when that version is too old; when the connection ends; when what comes is not understood.
    pub async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        let Some(line) = self.lines.next().await? else { return Ok(None) };
        let (what, server) = self.lines.origin();
        let strange = |reason: String| ApiError::Strange { what: what.to_owned(), server: server.to_owned(), reason };
        let wire: Wire = serde_json::from_slice(&line.bytes).map_err(|error| strange(error.to_string()))?;
        Ok(Some(match wire.r#type.as_str() {
            "ADDED" => Event::Added(wire.object),
            "MODIFIED" => Event::Modified(wire.object),
            "DELETED" => Event::Deleted(wire.object),
            "BOOKMARK" => Event::Bookmark(wire.object),
            "ERROR" => {
                let code = wire.object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
                let body = wire.object.to_string();
                return Err(Box::new(Refused::read(what, server, code, body.as_bytes())).into());
            }
            _ => return Err(strange("an event of no known type".to_owned())),
        }))
    }
}
