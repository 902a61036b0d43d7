//! The engines on which the tests run.

use tempfile::TempDir;

use super::{super::Hand, *};
use crate::{postgres::Alone, sqlite::ByTheWriter};

pub(super) trait Engine {
    type Hand: Hand;
    /// How many worlds, and how many steps in each, a test of chance takes: it is to be over in seconds.
    const CHANCE: (u64, usize);

    /// An empty database and its folder; `None` where the engine is missing.
    fn empty() -> Option<(DatabaseUrl, TempDir)>;

    fn hand(database: &SqlDatabase, url: &DatabaseUrl) -> Self::Hand;
}

pub(super) enum OnSqlite {}

impl Engine for OnSqlite {
    type Hand = ByTheWriter;
    const CHANCE: (u64, usize) = (4, 120);

    fn empty() -> Option<(DatabaseUrl, TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("cp.db").display());
        Some((url.parse().unwrap(), folder))
    }

    fn hand(database: &SqlDatabase, _url: &DatabaseUrl) -> ByTheWriter {
        database.hand()
    }
}

pub(super) enum OnPostgres {}

impl Engine for OnPostgres {
    type Hand = Alone;
    const CHANCE: (u64, usize) = (1, 60);

    fn empty() -> Option<(DatabaseUrl, TempDir)> {
        let server = testkit::postgres::Server::shared()?;
        let folder = tempfile::tempdir().unwrap();
        Some((server.new_database().parse().unwrap(), folder))
    }

    fn hand(_database: &SqlDatabase, url: &DatabaseUrl) -> Alone {
        Alone::new(url)
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
