//! The engines that the server can store its data in, each with a database of its own.

use anyhow::{Context as _, Result};
use testkit::postgres::Server as Postgres;

/// What the server stores its data in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// A throwaway PostgreSQL, if that is the engine.
    pub(crate) fn start(self) -> Result<Option<Postgres>> {
        match self {
            Self::Sqlite => Ok(None),
            Self::Postgres => {
                let server = Postgres::start().context("PostgreSQL is not installed")?;
                Ok(Some(server))
            }
        }
    }
}
