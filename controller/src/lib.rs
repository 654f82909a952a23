//! The controller: it knows every node, decides, and answers for what was decided.

pub mod access;
pub mod alerts;
pub mod app;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod core;
pub mod enrolment;
pub mod events;
pub mod fleet;
pub mod history;
pub mod init;
pub mod logs;
pub mod metrics;
pub mod net;
pub mod nut;
pub mod power;
pub mod reach;
pub mod service;
pub mod store;
pub mod waiting;
pub mod wake;
pub mod witness;
