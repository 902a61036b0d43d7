//! `cargo xtask acceptance`: whether what is promised holds, tried on running servers.
//!
//! Each verb prints what it saw, then `holds` or `DOES NOT HOLD`. The documents have the figures.

mod chaos;
mod crash;
mod dudect;
mod duplicates;
mod held_polls;
mod leases;
mod races;
mod suffixes;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The exit code that says that nothing could be tried here.
const NOT_TRIED: u8 = 77;

/// Tries whether what is promised holds.
#[derive(Parser)]
#[command(name = "cargo xtask acceptance", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create and delete orgs with a program that fails at random and a server that is killed all the time.
    Chaos(chaos::Args),
    /// Kill servers and compare what they answered with what is there.
    Crash(crash::Args),
    /// Test whether the time of comparing digests tells where they differ.
    Dudect(dudect::Args),
    /// Send every creation many times at once and count what was created.
    Duplicates(duplicates::Args),
    /// Hold many status polls at once, and answer them all.
    HeldPolls(held_polls::Args),
    /// Create many orgs with a lease, and see when each is deleted.
    Leases(leases::Args),
    /// Race revocations and narrowings against calls, on the server that answers them and on another.
    Races(races::Args),
    /// Count how many random suffixes have the form of a key.
    Suffixes(suffixes::Args),
}

fn main() -> Result<ExitCode> {
    let holds = match Args::parse().verb {
        Verb::Chaos(args) => chaos::run(&args)?,
        Verb::Crash(args) => match crash::run(&args)? {
            Some(holds) => holds,
            None => return Ok(ExitCode::from(NOT_TRIED)),
        },
        Verb::Dudect(args) => dudect::run(&args),
        Verb::Duplicates(args) => duplicates::run(args)?,
        Verb::HeldPolls(args) => held_polls::run(&args)?,
        Verb::Leases(args) => leases::run(&args)?,
        Verb::Races(args) => races::run(&args)?,
        Verb::Suffixes(args) => suffixes::run(&args)?,
    };
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
