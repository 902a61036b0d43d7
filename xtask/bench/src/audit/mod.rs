//! Designs of the audit log, measured in turn on both engines: what can be appended durably in a second,
//! and how long a page of a list takes. `xtask/bench/NOTES.md` has the result.
//!
//! - A: the one in use. Segments of many events, and an index of sorted runs behind them.
//! - B: a row for each event, with a composite index for each way to look for it.
//! - D: the segments of A, and a row for each subject of a segment, added behind in sorted batches.
//!
//! B and D are prototypes that do what a server would have to, and no more.

mod batcher;
mod designs;
mod events;
mod mentions;
mod report;
mod rounds;
mod rows;
mod sqlite;

use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use testkit::postgres::Server;

use self::designs::Places;
use crate::engine::Engine;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which engines.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "sqlite,postgres"
    )]
    engines: Vec<Engine>,
    /// How many keys call; each for two orgs, ten for each partner.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000")]
    keys: Vec<u32>,
    /// How many events are there before anything is measured.
    #[arg(long, default_value_t = 200_000)]
    prefill: usize,
    /// How many calls append at once, each of which waits for its event.
    #[arg(long, default_value = "64")]
    at_once: NonZeroUsize,
    /// How many turns each design has.
    #[arg(long, default_value_t = 40)]
    rounds: u32,
    /// How long a turn appends, in seconds.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// How many pages of each list are asked for in a turn.
    #[arg(long, default_value_t = 8)]
    pages: u32,
    /// A role of a running PostgreSQL that may create databases: postgres://…/postgres. Without it, a
    /// throwaway server with 16 MB of shared buffers is started.
    #[arg(long)]
    postgres_url: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    report::header();
    for engine in &args.engines {
        let server = match &args.postgres_url {
            Some(_) => None,
            None => engine.start()?,
        };
        for keys in &args.keys {
            let places = places(args, *engine, server.as_ref())?;
            let results = runtime.block_on(rounds::run(args, &places, *keys))?;
            report::rows(*engine, *keys, &results);
        }
    }
    Ok(())
}

fn places<'s>(args: &Args, engine: Engine, server: Option<&'s Server>) -> Result<Places<'s>> {
    Ok(match engine {
        Engine::Sqlite => Places::Folder(tempfile::tempdir_in(".")?),
        Engine::Postgres => match &args.postgres_url {
            Some(url) => Places::Url(url.clone()),
            None => Places::Server(server.context("no server was started")?),
        },
    })
}
