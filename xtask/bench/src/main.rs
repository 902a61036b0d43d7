//! `cargo xtask bench`: measures the server and prints numbers.
//!
//! Without the name of another measurement the arguments are those of `performance`, which writes
//! `docs/benchmarks.md`. `bare`, `fill` and `in-process` are its helpers, run as processes of their own.

mod audit;
mod bare;
mod engine;
mod fill;
mod in_process;
mod isolation;
mod limits;
mod performance;
mod pipelines;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The server's allocator, so that the bare server and what is measured in this process have it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the server.
#[derive(Parser)]
#[command(name = "cargo xtask bench", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    #[command(flatten)]
    performance: performance::Args,
}

#[derive(Subcommand)]
enum Measurement {
    /// Measure designs of the audit log in turn.
    Audit(audit::Args),
    /// Measure a good tenant's latencies beside attacks on what all callers share.
    Isolation(isolation::Args),
    /// Measure rate limits that three instances share through Redis.
    Limits(limits::Args),
    /// Measure jobs that create, wait and delete in a loop, with quotas and without.
    Pipelines(pipelines::Args),
    #[command(hide = true)]
    Bare(bare::Args),
    #[command(hide = true)]
    Fill(fill::Args),
    #[command(hide = true)]
    InProcess(in_process::Args),
}

fn main() -> Result<ExitCode> {
    let args = Cli::parse();
    let holds = match args.measurement {
        None => return performance::run(&args.performance),
        Some(Measurement::Audit(args)) => {
            audit::run(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Measurement::Bare(args)) => return bare::run(&args),
        Some(Measurement::Fill(args)) => return fill::run(&args),
        Some(Measurement::InProcess(args)) => return in_process::run(&args),
        Some(Measurement::Isolation(args)) => isolation::run(&args)?,
        Some(Measurement::Limits(args)) => limits::run(&args)?,
        Some(Measurement::Pipelines(args)) => pipelines::run(&args)?,
    };
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_of_all_measurements_go_together() {
        Cli::command().debug_assert();
    }
}
