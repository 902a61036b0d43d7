//! A throwaway PostgreSQL for measurements.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use testkit::postgres::Server;

use super::machine::output;

/// Fewer checkpoints than tests need. Nothing here makes the server less durable: `fsync` and
/// `synchronous_commit` are on.
const SETTINGS: &str = "max_wal_size = '4GB'\nmaintenance_work_mem = '256MB'\n";

/// A running PostgreSQL that ends with this value.
pub(crate) struct Postgres(Server);

impl Postgres {
    /// Starts one.
    pub(crate) fn start() -> Result<Self> {
        let server = Server::start().context("PostgreSQL is not installed (Debian: postgresql)")?;
        let settings = server.folder().join("data/postgresql.auto.conf");
        let text = fs::read_to_string(&settings)?;
        fs::write(&settings, text + SETTINGS)?;
        server.restart();
        Ok(Self(server))
    }

    /// Creates an empty database and gives its URL.
    pub(crate) fn new_database(&self) -> String {
        self.0.new_database()
    }

    /// Runs statements in the database of a URL and gives their rows.
    pub(crate) fn sql(&self, url: &str, statements: &str) -> String {
        self.0.ask(url, statements)
    }

    /// All files of a database, in bytes.
    pub(crate) fn size_of(&self, url: &str) -> Result<u64> {
        let size = self.sql(url, "select pg_database_size(current_database())");
        Ok(size.trim().parse()?)
    }

    /// Where `pgbench` is.
    pub(crate) fn pgbench(&self) -> Option<PathBuf> {
        let beside = self.0.binaries().join("pgbench");
        if beside.is_file() {
            return Some(beside);
        }
        output("which", &["pgbench"]).map(PathBuf::from)
    }
}
