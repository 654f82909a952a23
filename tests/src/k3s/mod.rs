//! A stand-in for K3s, for stories and the lab: one program that is `k3s`, and where there is no systemd, `systemctl` and
//! `journalctl`, too. It looks at its own arguments, files, environment and unit as the real one does, more strictly
//! where a mistake of ours would else go unseen, and fails as the real one does.
//!
//! What it is not: containers, networks, etcd. Its servers keep the cluster of [`crate::kube`]; a further server has no
//! state of its own and hands everything on to the one that it has joined.
//!
//! `K3S_DOUBLE_ROOT` is the folder in which the node's files are, `/` without it.

mod agent;
mod board;
mod config;
mod drive;
mod http;
mod kept;
mod kubectl;
mod paths;
mod release;
mod script;
mod server;
mod supervisor;
mod systemctl;
mod unit_file;

use std::process::ExitCode;

pub use board::{Board, Engine};
pub use release::{DoubleRelease, VERSION};

/// The program, under any of its names.
pub fn main() -> ExitCode {
    // systemd hands on no blocked signals, whoever asked it to start something.
    let unblocked = nix::sys::signal::SigSet::all().thread_unblock();
    debug_assert!(unblocked.is_ok());
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let short = name.rsplit('/').next().unwrap_or_default();
    let ended = match short {
        "systemctl" => systemctl::main(&words),
        "journalctl" => systemctl::journal(&words),
        "systemd-double" => drive::main(&words),
        // What holds a pod goes on without K3s, as long as its node is there.
        "containerd-shim-runc-v2" => agent::hold(),
        "kubectl" => kubectl::main(&words),
        _ => k3s(&words),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("time=\"2026-01-01T00:00:00Z\" level=fatal msg={:?}", format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn k3s(words: &[String]) -> anyhow::Result<()> {
    match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("--version" | "-v", [])) => {
            println!("k3s version {} (double)", release::version());
            Ok(())
        }
        Some(("server", rest)) => server::main(rest),
        Some(("agent", rest)) => agent::main(rest),
        Some(("kubectl", rest)) => kubectl::main(rest),
        Some(("etcd-snapshot", rest)) => kept::etcd_snapshot(rest),
        Some(("token", [rotate])) if rotate == "rotate" => supervisor::ask_to_rotate(),
        _ => anyhow::bail!("No help topic for {:?}", words.join(" ")),
    }
}
