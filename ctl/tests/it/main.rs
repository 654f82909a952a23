//! ctl against a controller that answers from a script: every byte of its output, and its exit status.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as its tests do")]

mod asks;
mod backup;
mod backup_follows;
mod backup_rack;
mod contexts;
mod failures;
mod fleet;
mod follows;
mod harness;
mod hostile;
mod login;
mod past;
mod power;
mod power_orders;
mod power_watches;
mod rack;
mod screens;
mod script;
mod storm;
mod tls;
mod watches;
