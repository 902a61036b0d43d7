//! The set-up that the partner guide recommends for pipelines, measured: jobs that create an org, wait until
//! it is ready and delete it, in a loop. The same jobs run without quotas and with both of them, by turns.
//!
//! A measurement that is not good enough ends with exit code 1.

mod figures;
mod jobs;

use anyhow::Result;
use testkit::{
    postgres::Server as Postgres,
    server::{self, Setup},
};

use self::figures::Figures;
use crate::engine::Engine;

/// What `pipelines` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
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

/// What the creations with quotas must reach of those without.
const RATIO: f64 = 0.8;
/// In how many milliseconds 99 of 100 of them must be answered.
const P99: f64 = 250.0;

/// Measures, prints a table and tells whether all of it is good enough.
pub(crate) fn run(args: &Args) -> Result<bool> {
    println!("| engine | quotas | creations/s | p50 | p99 | refused or failed |");
    println!("|---|---|---|---|---|---|");
    let mut holds = true;
    for engine in &args.engine {
        holds &= measure(args, *engine)?;
    }
    Ok(holds)
}

fn measure(args: &Args, engine: Engine) -> Result<bool> {
    let postgres = engine.start()?;
    let folder = tempfile::tempdir()?;
    let mut setup = Setup::new(server::program()?, folder.path());
    setup.database_url = postgres.as_ref().map(Postgres::new_database);
    let server = setup.start()?;
    let (mut without, mut with) = (Figures::default(), Figures::default());
    for _ in 0..args.rounds {
        for (quotas, figures) in [(false, &mut without), (true, &mut with)] {
            figures.add(jobs::run(&server, args, quotas)?);
        }
    }
    drop(server);
    let (name, with_p99, failed) = (engine.name(), with.p99(), with.failed());
    println!("| {name} | none | {without} |");
    println!("| {name} | partner and key | {with} |");
    let ratio = with.rate() / without.rate().max(f64::MIN_POSITIVE);
    let deadlocks = postgres.as_ref().map_or(0, Postgres::deadlocks);
    println!("\n{name}: {ratio:.2} of the creations without quotas, {deadlocks} deadlocks\n");
    Ok(ratio >= RATIO && deadlocks == 0 && failed == 0 && with_p99 <= P99)
}
