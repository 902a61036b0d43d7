//! A connection to either engine.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, QueryResult, SqliteConnection,
    connection::{SimpleConnection, TransactionManager},
};
use stores::StoreError;

use crate::{
    dialect, error,
    url::{DatabaseUrl, Engine},
};

mod postgres;

pub(crate) use postgres::{PgConnection, lacks_sslmode};

/// How long a connection waits, when it is made, for others that hold the lock of an SQLite file.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it pauses in between.
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// A connection to either engine, on which the same queries run.
#[derive(diesel::MultiConnection)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few dozen, each kept where it is for minutes"
)]
pub(crate) enum AnyConnection {
    /// To a PostgreSQL server.
    Postgres(PgConnection),
    /// To an SQLite file.
    Sqlite(SqliteConnection),
}

/// Both engines' common backend, in whose terms the migrations are run.
pub(crate) type AnyBackend = <AnyConnection as Connection>::Backend;

impl AnyConnection {
    /// Connects to the engine that the URL's scheme names, and settles how the session behaves.
    ///
    /// The enum's own `establish` would try one engine after the other: with the server down it makes
    /// an SQLite file of the server's name.
    pub(crate) fn connect(url: &DatabaseUrl, read_only: bool) -> Result<Self, StoreError> {
        if let Some(path) = url.sqlite_path()
            && !path.exists()
        {
            // SQLite would make an empty one, and all would seem to be gone.
            return Err(error::unavailable(format!(
                "there is no {}",
                path.display()
            )));
        }
        let connected = match &url.0 {
            Engine::Sqlite(path) => SqliteConnection::establish(path).map(Self::Sqlite),
            Engine::Postgres(url) => PgConnection::establish(url).map(Self::Postgres),
        };
        let mut connection = connected
            .map_err(|error| error::unavailable(url.without_secrets(&error.to_string())))?;
        connection
            .settle(read_only)
            .map_err(|error| error::store_error(&error))?;
        Ok(connection)
    }

    /// Settles how the session behaves.
    ///
    /// The change of a new SQLite file to WAL is refused at once, whatever the busy timeout, while another
    /// process makes it; then it is tried again.
    fn settle(&mut self, read_only: bool) -> QueryResult<()> {
        let settings = dialect::settings(self, read_only);
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            match self.batch_execute(&settings) {
                Err(error) if error::is_locked(&error) && Instant::now() < deadline => {
                    thread::sleep(SETTLE_PAUSE);
                }
                settled => return settled,
            }
        }
    }

    /// Asks whether the engine answers.
    pub(crate) fn ping(&mut self) -> QueryResult<()> {
        match self {
            Self::Postgres(postgres) => postgres.ping(),
            Self::Sqlite(sqlite) => sqlite.batch_execute("SELECT 1"),
        }
    }

    /// Whether it is of no more use: closed, or left within a transaction.
    pub(crate) fn is_broken(&mut self) -> bool {
        Self::is_broken_transaction_manager(self)
    }

    /// How many transactions and savepoints are open; none when the connection is broken, for then
    /// the engine has none.
    pub(crate) fn depth(&mut self) -> u32 {
        Self::transaction_manager_status_mut(self)
            .transaction_depth()
            .ok()
            .flatten()
            .map_or(0, std::num::NonZeroU32::get)
    }
}

#[cfg(test)]
mod tests {
    use diesel::RunQueryDsl as _;

    use super::*;

    /// `.cargo/config.toml` has SQLite built so that connections wait for no lock that all of them share.
    #[test]
    fn sqlite_is_built_without_what_its_connections_would_share() {
        #[derive(diesel::QueryableByName)]
        struct BuiltWith {
            #[diesel(sql_type = diesel::sql_types::Text, column_name = compile_options)]
            option: String,
        }
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/cp.db", folder.path().display());
        let file = folder.path().join("cp.db");
        assert!(AnyConnection::connect(&url.parse().unwrap(), false).is_err());
        assert!(!file.exists(), "it is not made by whoever uses it");
        std::fs::File::create(&file).unwrap();
        let mut connection = AnyConnection::connect(&url.parse().unwrap(), false).unwrap();
        let options: Vec<BuiltWith> = diesel::sql_query("PRAGMA compile_options")
            .load(&mut connection)
            .unwrap();
        let has = |name| options.iter().any(|built| built.option == name);
        assert!(has("THREADSAFE=2") && has("ENABLE_QPSG") && has("DEFAULT_MEMSTATUS=0"));
        assert!(!has("ENABLE_MEMORY_MANAGEMENT") && !has("THREADSAFE=1"));
    }
}
