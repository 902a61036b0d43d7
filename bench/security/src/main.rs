//! What is promised about keys and repeated calls, measured. `docs/security.md` has the figures.
//!
//! Each measurement is one file and one verb. A measurement that fails ends with exit code 1.

mod client;
mod duplicates;
mod leak;
mod races;
mod random;
mod server;
mod suffixes;
mod welch;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures what is promised about keys and repeated calls.
#[derive(Parser)]
#[command(name = "bench-security", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Count how many random suffixes have the form of a key.
    Suffixes(suffixes::Args),
    /// Test whether the time of comparing digests tells where they differ.
    Dudect(leak::Args),
    /// Send every creation many times at once and count what was made.
    Duplicates(duplicates::Args),
    /// Race revocations and narrowings against calls, on the server that answers them and on another.
    Races(races::Args),
}

fn main() -> Result<ExitCode> {
    let holds = match Args::parse().verb {
        Verb::Suffixes(args) => suffixes::run(&args)?,
        Verb::Dudect(args) => leak::run(&args),
        Verb::Duplicates(args) => duplicates::run(args)?,
        Verb::Races(args) => races::run(&args)?,
    };
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
