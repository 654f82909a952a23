//! The harness of the stories in `tests/it`: real processes over loopback, in folders of their own, with a network
//! between them that can be bad. Beside it, a fleet of simulated agents for measurements.
//!
//! Every operation fails with an error that says what it was waiting for; a story unwraps it. A story that fails shows
//! the ends of its processes' logs.

pub mod address;
pub mod agent;
pub mod client;
pub mod ctl;
pub mod facade;
pub mod faketime;
pub mod far;
pub mod fleet;
pub mod fuzz;
pub mod hand;
pub mod hook;
pub mod impostor;
pub mod k3s;
pub mod kube;
pub mod mail_server;
pub mod notify;
pub mod power_sim;
pub mod power_strip;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod rack;
pub mod receiver;
pub mod release;
pub mod saving;
pub mod scripted_ups;
pub mod settings;
pub mod sim;
pub mod small_disk;
pub mod strace;
pub mod terminal;
pub mod ups;
pub mod ups_relay;
pub mod ups_watch;
pub mod wait;
pub mod web;
pub mod web_folder;

pub use agent::Agent;
pub use client::Client;
pub use ctl::{Ctl, Outcome};
pub use facade::NutFacade;
pub use faketime::FakeTime;
pub use far::{Rsyncd, Sshd};
pub use fleet::Fleet;
pub use hook::Hook;
pub use kube::Kube;
pub use mail_server::MailServer;
pub use notify::NotifySocket;
pub use power_strip::Back;
pub use process::Daemon;
pub use program::Program;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use rack::{Rack, RackPlan};
pub use receiver::{Identity, Receiver, Reply};
pub use release::Release;
pub use saving::Saving;
pub use scripted_ups::ScriptedUps;
pub use settings::Settings;
pub use small_disk::SmallDisk;
pub use terminal::Terminal;
pub use ups::Ups;
pub use ups_relay::UpsRelay;
pub use ups_watch::UpsWatch;
pub use wait::{wait_for, wait_for_within, wait_until};
pub use web_folder::WebFolder;
