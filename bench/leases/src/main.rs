//! What is promised about orgs that are waited for and orgs that end, measured. `docs/provisioning.md`
//! has the figures.
//!
//! Each measurement is one file and one verb. A measurement that fails ends with exit code 1.

mod client;
mod leases;
mod process;
mod server;
mod waits;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures what is promised about orgs that are waited for and orgs that end.
#[derive(Parser)]
#[command(name = "bench-leases", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Hold many status polls at once, and answer them all.
    Waits(waits::Args),
    /// Create many orgs with a lease, and see when each is gone.
    Leases(leases::Args),
}

fn main() -> Result<ExitCode> {
    let holds = match Args::parse().verb {
        Verb::Waits(args) => waits::run(&args)?,
        Verb::Leases(args) => leases::run(&args)?,
    };
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
