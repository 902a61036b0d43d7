//! How many events a second can be made durable, and what of the processor that takes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use storage::SqlDatabase;
use stores::Database as _;

use crate::events::Source;

/// A tick of the processor's clock, as Linux counts them for every program.
const TICK: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub struct Args {
    /// How many tasks append at once.
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// How many events to append in all.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
}

pub async fn run(database: SqlDatabase, args: &Args) -> Result<()> {
    let source = Arc::new(Mutex::new(Source::new()));
    let each = args.events / args.at_once.max(1);
    let (began, used) = (Instant::now(), processor_time()?);
    let tasks: Vec<_> = (0..args.at_once)
        .map(|_| {
            let (database, source) = (database.clone(), Arc::clone(&source));
            tokio::spawn(async move {
                for _ in 0..each {
                    let event = source.lock().unwrap_or_else(PoisonError::into_inner).next();
                    database.append(Box::new(event)).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let (took, used) = (began.elapsed(), processor_time()?.saturating_sub(used));
    let count = u32::try_from(each.saturating_mul(args.at_once))?;
    let per_second = f64::from(count) / took.as_secs_f64();
    let processor = used.as_secs_f64() * 1e6 / f64::from(count);
    println!(
        "{} at once: {per_second:.0} events/s, {processor:.1} µs of this process's time for each",
        args.at_once
    );
    Ok(())
}

/// What this process has had of the processor, from Linux's `/proc`.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat")?;
    let ticks: u32 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u32>)
        .sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}
