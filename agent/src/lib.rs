//! Placeholder
pub mod host;
