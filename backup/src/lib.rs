//! The backup engine: saves a node's files and gives them back. One process makes one run.

pub mod app;
mod chance;
pub mod child;
pub mod cli;
pub mod clock;
pub mod entry;
pub mod hooks;
pub mod jobs;
pub mod manifest;
pub mod outcome;
pub mod pace;
pub mod progress;
pub mod repository;
pub mod retention;
pub mod signals;
pub mod stop;
pub mod tar;
pub mod tree;
pub mod walk;
