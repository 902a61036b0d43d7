//! The engines on which the tests run.

use tempfile::TempDir;

use super::{super::IndexWriter, *};
use crate::{postgres::PostgresIndexWriter, sqlite::SqliteIndexWriter};

pub(super) trait Engine {
    type IndexWriter: IndexWriter;
    /// How many worlds, and how many steps in each, a test of chance takes: it is to be over in seconds.
    const CHANCE: (u64, usize);

    /// An empty database and its folder; `None` where the engine is missing.
    fn empty() -> Option<(DatabaseUrl, TempDir)>;

    fn index_writer(database: &SqlDatabase, url: &DatabaseUrl) -> Self::IndexWriter;
}

pub(super) enum OnSqlite {}

impl Engine for OnSqlite {
    type IndexWriter = SqliteIndexWriter;
    const CHANCE: (u64, usize) = (4, 120);

    fn empty() -> Option<(DatabaseUrl, TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("cp.db").display());
        Some((url.parse().unwrap(), folder))
    }

    fn index_writer(database: &SqlDatabase, _url: &DatabaseUrl) -> SqliteIndexWriter {
        database.index_writer()
    }
}

pub(super) enum OnPostgres {}

impl Engine for OnPostgres {
    type IndexWriter = PostgresIndexWriter;
    const CHANCE: (u64, usize) = (1, 60);

    fn empty() -> Option<(DatabaseUrl, TempDir)> {
        let server = testkit::postgres::Server::shared()?;
        let folder = tempfile::tempdir().unwrap();
        Some((server.new_database().parse().unwrap(), folder))
    }

    fn index_writer(_database: &SqlDatabase, url: &DatabaseUrl) -> PostgresIndexWriter {
        PostgresIndexWriter::new(url)
    }
}

/// Runs tests on both engines.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $test() {
                super::$test::<super::engines::OnSqlite>();
            })*
        }
        mod on_postgres {
            $(#[test] fn $test() {
                super::$test::<super::engines::OnPostgres>();
            })*
        }
    };
}
pub(super) use on_both;
