//! What the audit log costs, measured on any database that `molecule-cp` can use.
//!
//! `append` writes events from many tasks at once, each of which waits until its event is durable, as
//! the server does; `query` times the lists that are asked for most. The database is made when it is
//! not there; give one that nobody else uses.

mod append;
mod events;
mod query;

use anyhow::Result;
use clap::{Parser, Subcommand};
use storage::{DatabaseUrl, SqlDatabase};

/// Measures what the audit log costs.
#[derive(Parser)]
#[command(name = "bench-audit", disable_help_subcommand = true)]
struct Args {
    /// sqlite:PATH or postgres://…
    #[arg(long)]
    url: DatabaseUrl,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Append events and tell how many a second.
    Append(append::Args),
    /// Time the lists.
    Query(query::Args),
}

fn main() -> Result<()> {
    let Args { url, verb } = Args::parse();
    storage::migrate(&url)?;
    let database = SqlDatabase::open(&url)?;
    let runtime = tokio::runtime::Runtime::new()?;
    match verb {
        Verb::Append(args) => runtime.block_on(append::run(database, &args)),
        Verb::Query(args) => runtime.block_on(query::run(database, &args)),
    }
}
