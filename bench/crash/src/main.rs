//! Whether what a server said is true after it was killed, its power failed, its disk was full or its
//! database was gone.
//!
//! `cargo xtask crash` builds the server and runs this; `docs/security.md` says what is compared and has
//! the figures.

mod caller;
mod client;
mod disk;
mod events;
mod kills;
mod load;
mod lot;
mod model;
mod outage;
mod random;
mod server;
mod there;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// What says that nothing could be tried here.
const NOT_TRIED: u8 = 77;

/// Kills servers and compares what they said with what is there.
#[derive(Parser)]
#[command(name = "bench-crash")]
struct Args {
    /// The server's program.
    #[arg(long)]
    program: PathBuf,
    /// How many kills.
    #[arg(long, default_value_t = 50)]
    rounds: u64,
    /// The engine of the database.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
    /// What decides the load and the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Have the power fail under SQLite at each kill, so that the disk has nothing for certain that was
    /// not synced.
    #[arg(long, conflicts_with_all = ["disk_full", "postgres_restart"])]
    power: bool,
    /// Fill the disk of an SQLite file instead, and make space again.
    #[arg(long)]
    disk_full: bool,
    /// Restart PostgreSQL instead.
    #[arg(long, conflicts_with = "disk_full")]
    postgres_restart: bool,
}

/// Where the data are.
#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let holds = if args.disk_full {
        outage::disk_full(&args)?
    } else if args.postgres_restart {
        outage::postgres_restart(&args)?
    } else {
        kills::run(&args)?
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
