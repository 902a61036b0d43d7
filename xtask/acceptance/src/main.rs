//! `cargo xtask acceptance`: whether what is promised holds, tried on running servers.
//!
//! Each verb prints what it saw, then `holds` or `DOES NOT HOLD`. The documents have the figures.

mod chaos;
mod crash;
mod dudect;
mod duplicates;
mod fuzz_api;
mod held_polls;
mod leaks;
mod leases;
mod outages;
mod parallel;
mod races;
mod receipts;
mod reseal;
mod rotation;
mod scanner_rules;
mod suffixes;
mod token_replays;
mod upgrade;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The exit code that says that nothing could be tried here.
const NOT_TRIED: u8 = 77;

/// Tries whether what is promised holds.
#[derive(Parser)]
#[command(name = "cargo xtask acceptance", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create, update, rotate and delete orgs with a program that fails at random and a server that is killed
    /// all the time.
    Chaos(chaos::Args),
    /// Kill servers and compare what they answered with what is there.
    Crash(crash::Args),
    /// Test whether the time of comparing digests tells where they differ.
    Dudect(dudect::Args),
    /// Send every creation many times at once and count what was created.
    Duplicates(duplicates::Args),
    /// Send schemathesis against the server: what it answers must be what the document says.
    FuzzApi(fuzz_api::Args),
    /// Hold many status polls at once, and answer them all.
    HeldPolls(held_polls::Args),
    /// Report leaked keys, and see how soon they are dead everywhere and whether the time of an answer tells anything.
    Leaks(leaks::Args),
    /// Create many orgs with a lease, and see when each is deleted.
    Leases(leases::Args),
    /// Restart PostgreSQL and Redis under load, and see that every answer is right.
    Outages(outages::Args),
    /// Race revocations and narrowings against calls, on the server that answers them and on another.
    Races(races::Args),
    /// Race revocations with a receipt against calls on all instances, and measure the receipts.
    Receipts(receipts::Args),
    /// Change the pepper of a server with many orgs, and see that all is resealed without a wrong answer.
    Reseal(reseal::Args),
    /// Rotate a key under load by both of its secrets, and see when each ends on all instances.
    Rotation(rotation::Args),
    /// Try the rules for scanners on keys and on random text.
    ScannerRules(scanner_rules::Args),
    /// Count how many random suffixes have the form of a key.
    Suffixes(suffixes::Args),
    /// Send one pipeline's token many times to several instances: it is exchanged once.
    TokenReplays(token_replays::Args),
    /// Replace instances of one version by those of the next, and back.
    Upgrade(upgrade::Args),
}

fn main() -> Result<ExitCode> {
    let holds = match Cli::parse().verb {
        Verb::Chaos(args) => chaos::run(&args)?,
        Verb::Crash(args) => crash::run(&args)?,
        Verb::Dudect(args) => Some(dudect::run(&args)),
        Verb::Duplicates(args) => Some(duplicates::run(args)?),
        Verb::FuzzApi(args) => fuzz_api::run(&args)?,
        Verb::HeldPolls(args) => Some(held_polls::run(&args)?),
        Verb::Leaks(args) => leaks::run(&args)?,
        Verb::Leases(args) => Some(leases::run(&args)?),
        Verb::Outages(args) => outages::run(&args)?,
        Verb::Races(args) => Some(races::run(&args)?),
        Verb::Receipts(args) => receipts::run(&args)?,
        Verb::Reseal(args) => reseal::run(&args)?,
        Verb::Rotation(args) => rotation::run(&args)?,
        Verb::TokenReplays(args) => token_replays::run(&args)?,
        Verb::ScannerRules(args) => Some(scanner_rules::run(&args)?),
        Verb::Upgrade(args) => upgrade::run(&args)?,
        Verb::Suffixes(args) => Some(suffixes::run(&args)?),
    };
    Ok(match holds {
        Some(true) => {
            println!("holds");
            ExitCode::SUCCESS
        }
        Some(false) => {
            println!("DOES NOT HOLD");
            ExitCode::FAILURE
        }
        None => ExitCode::from(NOT_TRIED),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_of_all_programs_go_together() {
        Cli::command().debug_assert();
    }
}
