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
    _postgres: Postgres,
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
            _postgres: postgres,
            _folder: folder,
        })
    }
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
