//! Whether what a server answered is true after it was killed, its power failed, its disk was full or its
//! database was gone.
//!
//! `cargo xtask crash` builds the server and runs this. `xtask/acceptance/NOTES.md` says what is compared,
//! `docs/security.md` has the figures.

mod caller;
mod disk;
mod events;
mod kills;
mod load;
mod model;
mod observed;
mod outage;
mod scenario;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use testkit::server;

/// What `crash` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server's program; the one that was built beside this one, unless named.
    #[arg(long)]
    program: Option<PathBuf>,
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

/// Where the data is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Whether all that was answered is true; `None` when it can't be tried here.
pub(crate) fn run(args: &Args) -> Result<Option<bool>> {
    if args.disk_full {
        outage::disk_full(args)
    } else if args.postgres_restart {
        outage::postgres_restart(args)
    } else {
        kills::run(args)
    }
}

impl Args {
    fn program(&self) -> Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => Ok(server::program()?),
        }
    }
}
