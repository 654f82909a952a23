//! Simulates outages, 100000 or as many as asked: `cargo run --release -p rackhaven-tests --example power_outages -- N`.

#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use anyhow::{Context, ensure};
use rackhaven_tests::power_sim::outages;

fn main() -> anyhow::Result<()> {
    let wanted = match std::env::args().nth(1) {
        Some(text) => text.parse().with_context(|| format!("{text:?} is not a number of outages"))?,
        None => 100_000,
    };
    let many = outages(wanted);
    println!("{} outages of {} racks", many.outages, many.racks);
    let hint = "replay a seed with: RACKHAVEN_POWER_SEED=… cargo test -p rackhaven-tests --test it outages_of_chance";
    ensure!(many.failures.is_empty(), "{}\n{hint}", many.failures.join("\n"));
    Ok(())
}
