//! Rate limits that three instances share: what they admit together, also while Redis is killed, and what
//! each mode costs. `docs/scaling.md` has the figures.
//!
//! A measurement that is not good enough ends with exit code 1.

mod admitted;
mod alone;
mod hammer;
mod instances;
mod polls;

use std::{env, fs, path::PathBuf};

use anyhow::Result;

use self::instances::Kept;

/// How many instances there are.
const INSTANCES: u32 = 3;

/// What `limits` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; all unless named.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// For how many seconds one key is hammered, in each mode.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(20..))]
    seconds: u64,
    /// For how many seconds each side of the polls is loaded, in each round.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    poll_seconds: u32,
    /// How many rounds of polls.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The root of the workspace.
    #[arg(long, hide = true, default_value = ".")]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One key of 600 per 60 s, hammered from all instances.
    Hammer,
    /// The same, and Redis is killed in the middle and comes back empty.
    Outage,
    /// Polls of an org's status by a key whose limit is out of the way.
    Polls,
    /// The limiter alone, without a server around it.
    Alone,
}

/// Measures, prints tables and tells whether all of it is good enough.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let mut holds = true;
    if wanted(Part::Hammer) {
        println!(
            "| limits | admitted | possible | used | beyond the limit, at the most | bound | without Redis |"
        );
        println!("|---|---|---|---|---|---|---|");
        for kept in [Kept::Exact, Kept::Leased] {
            holds &= hammer::throughout(kept, args.seconds)?;
        }
        println!();
    }
    if wanted(Part::Outage) {
        println!("| limits | most in any minute | bound | longest pause |");
        println!("|---|---|---|---|");
        for kept in [Kept::Exact, Kept::Leased] {
            holds &= hammer::outage(kept, args.seconds)?;
        }
        println!();
    }
    if wanted(Part::Polls) {
        let root = fs::canonicalize(&args.root)?;
        holds &= polls::run(root, env::current_exe()?, args.poll_seconds, args.rounds)?;
    }
    if wanted(Part::Alone) {
        holds &= alone::run()?;
    }
    Ok(holds)
}
