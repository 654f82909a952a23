use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use serde::Deserialize;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::Invalid;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people. Without a time when a journal reads it: that has its own.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The `[log]` table of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Levels by target as in `RUST_LOG`: `info,rackhaven_controller=debug`. That variable wins over this key.
    pub filter: Option<String>,
    /// Default: text.
    #[serde(default)]
    pub format: LogFormat,
}

/// Sends the log to standard error, as the settings and `RUST_LOG` say.
///
/// # Errors
/// When the filter cannot be read.
pub fn start_logging(settings: &LogSettings) -> Result<(), Invalid> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = from_environment.as_deref().or(settings.filter.as_deref()).unwrap_or("info");
    let filter = Targets::from_str(text).map_err(|error| Invalid::new("log.filter", error.to_string()))?;
    let under_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Json => Box::new(fmt::layer().json().flatten_event(true).with_writer(stderr)),
        LogFormat::Text if under_journal => {
            Box::new(fmt::layer().without_time().with_ansi(false).with_target(false).with_writer(stderr))
        }
        LogFormat::Text => {
            Box::new(fmt::layer().with_ansi(stderr().is_terminal()).with_target(false).with_writer(stderr))
        }
    };
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(())
}
