//! What both daemons promise an admin alike: how a configuration file is read, and how the log looks.

mod configuration;
mod logging;

pub use configuration::{ConfigurationError, parse_toml, read_toml};
pub use logging::{LogFormat, LogSettings, start_logging};
