//! The stand-in for K3s, and for systemd where there is none: see `rackhaven_tests::k3s`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rackhaven_tests::k3s::main()
}
