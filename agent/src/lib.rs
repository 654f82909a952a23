//! The agent: measures, obeys, and keeps what it could not report.

pub mod app;
pub mod backup;
mod causes;
pub mod cli;
pub mod command;
pub mod config;
pub mod host;
pub mod join;
pub mod k3s;
pub mod link;
pub mod logs;
pub mod service;
pub mod shutdown;
pub mod state;
pub mod trust;
pub mod waiting;
