//! Instances of the server on one database, and where they keep their limits.

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use testkit::{
    postgres::Server as Postgres,
    redis::Server as Redis,
    server::{self, Server, Setup},
};

/// Where limits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In the memory of each instance.
    Memory,
    /// In Redis, which each call asks.
    Exact,
    /// In Redis, from which permits are taken ahead.
    Leased,
}

impl Kept {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Exact => "exact",
            Self::Leased => "leased",
        }
    }
}

/// Instances, their database and their Redis; all end with this.
pub(crate) struct Instances {
    pub(crate) servers: Vec<Server>,
    pub(crate) redis: Redis,
    postgres: Postgres,
    database: String,
    _folder: TempDir,
}

impl Instances {
    /// Starts so many instances on an empty database.
    pub(crate) fn start(kept: Kept, count: u32) -> Result<Self> {
        let postgres = Postgres::start().context("PostgreSQL is not installed")?;
        let redis = Redis::start(&[]).context("neither Redis nor Valkey is installed")?;
        let folder = tempfile::tempdir()?;
        let url = postgres.new_database();
        let setup = |name: String| {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder)?;
            Ok::<_, anyhow::Error>(setup(kept, &folder, &url, &redis.url())?.start()?)
        };
        let servers = (0..count).map(|n| setup(format!("instance-{n}")));
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
            redis,
            postgres,
            database: url,
            _folder: folder,
        })
    }

    /// What the instances have asked of PostgreSQL and Redis so far.
    pub(crate) fn asked(&self) -> Result<Asked> {
        let transactions =
            "select xact_commit from pg_stat_database where datname = current_database()";
        let transactions = self.postgres.ask(&self.database, transactions);
        let scripts = self.redis.text("info commandstats");
        // `cmdstat_evalsha:calls=3,usec=120,…`
        let scripts = scripts
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let number = |name: &str| {
            let mut parts = scripts?.split(',');
            parts.find_map(|part| part.strip_prefix(name)?.parse::<u32>().ok())
        };
        Ok(Asked {
            transactions: f64::from(transactions.trim().parse::<u32>()?),
            scripts: f64::from(number("calls=").unwrap_or_default()),
            script_micros: f64::from(number("usec=").unwrap_or_default()),
        })
    }
}

/// Work of PostgreSQL and Redis, from their own statistics.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) transactions: f64,
    /// Runs of the script that decides.
    pub(crate) scripts: f64,
    /// What these took of Redis' processor.
    pub(crate) script_micros: f64,
}

fn setup(kept: Kept, folder: &Path, database: &str, redis: &str) -> Result<Setup> {
    let mut setup = Setup::new(server::program()?, folder)
        .with("PEPPER", "a pepper of three instances, 32 bytes or more");
    setup.database_url = Some(database.to_owned());
    Ok(match kept {
        Kept::Memory => setup,
        Kept::Exact | Kept::Leased => setup.with("REDIS_URL", redis).with("LIMITS", kept.name()),
    })
}
