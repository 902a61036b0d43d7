//! The set-up that the partner guide recommends for pipelines, measured: jobs that create an org, wait until
//! it is ready and delete it, in a loop. The same jobs run without quotas and with both of them, by turns.
//!
//! A measurement that is not good enough ends with exit code 1.

mod figures;
mod jobs;
mod server;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use testkit::postgres::Server as Postgres;

use self::{figures::Figures, server::Server};

/// Measures jobs that create, wait and delete in a loop, with quotas and without.
#[derive(Parser)]
#[command(name = "bench-pipelines")]
struct Args {
    /// How many jobs run at once.
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// For how many seconds they run each time.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How often both are measured.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// On which engines.
    #[arg(long, value_enum, default_values_t = [Engine::Sqlite, Engine::Postgres])]
    engine: Vec<Engine>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

/// What the creations with quotas must reach of those without.
const RATIO: f64 = 0.8;
/// In what time 99 of 100 of them must be answered.
const P99: Duration = Duration::from_millis(250);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    println!("| engine | quotas | creations/s | p50 | p99 | refused or failed |");
    println!("|---|---|---|---|---|---|");
    let mut holds = true;
    for engine in &args.engine {
        holds &= measure(&args, *engine)?;
    }
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure(args: &Args, engine: Engine) -> Result<bool> {
    let (name, postgres) = match engine {
        Engine::Sqlite => ("SQLite", None),
        Engine::Postgres => {
            let server = Postgres::start().context("PostgreSQL is not installed")?;
            ("PostgreSQL", Some(server))
        }
    };
    let url = postgres.as_ref().map(Postgres::new_database);
    let server = Server::start(url.as_deref())?;
    let (mut without, mut with) = (Figures::default(), Figures::default());
    for _ in 0..args.rounds {
        for (quotas, figures) in [(false, &mut without), (true, &mut with)] {
            figures.add(jobs::run(&server, args, quotas)?);
        }
    }
    drop(server);
    println!("| {name} | none | {without} |");
    println!("| {name} | partner and key | {with} |");
    let ratio = with.rate() / without.rate().max(f64::MIN_POSITIVE);
    let deadlocks = postgres.as_ref().map_or(0, Postgres::deadlocks);
    println!("\n{name}: {ratio:.2} of the creations without quotas, {deadlocks} deadlocks\n");
    Ok(ratio >= RATIO && deadlocks == 0 && with.failed() == 0 && with.percentile(99) <= P99)
}
