//! The K3s engine: one process carries out one order on one node. Every step looks first whether anything is left to
//! do, so that an order may be carried out again after any end of the one before.

pub mod app;
pub mod child;
pub mod cli;
pub mod clock;
pub mod files;
pub mod install;
pub mod news;
pub mod order;
pub mod paths;
pub mod preflight;
pub mod record;
pub mod remove;
pub mod root;
pub mod rotate;
pub mod signals;
pub mod snapshot;
pub mod stop;
pub mod units;
