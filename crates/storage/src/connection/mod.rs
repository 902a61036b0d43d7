//! A connection to either engine: where it leads, how it is made and behaves, how statements are prepared
//! and run for many rows, and what its errors mean. Nothing here knows a table.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{
    Connection, QueryResult, RunQueryDsl as _, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    sql_types::BigInt,
};
use stores::StoreError;

use self::url::{DatabaseUrl, Engine};
pub use postgres::PgConnection;
pub(crate) use postgres::lacks_sslmode;

/// Runs the same statement on either engine's own connection.
macro_rules! on_both {
    ($connection:expr, |$inner:ident| $statement:expr) => {
        match $connection {
            $crate::connection::AnyConnection::Postgres($inner) => $statement,
            $crate::connection::AnyConnection::Sqlite($inner) => $statement,
        }
    };
}
pub(crate) use on_both;

// Below the macro, which they use.
pub(crate) mod bulk;
pub(crate) mod error;
pub(crate) mod pooler;
mod postgres;
pub(crate) mod prepared;
mod settings;
pub(crate) mod url;

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
            Engine::Pooled(url) => PgConnection::establish(url).map(|connection| {
                Self::Postgres(connection.through_pooler(settings::of_transaction(read_only)))
            }),
        };
        let mut connection = connected
            .map_err(|error| error::unavailable(url.without_secrets(&error.to_string())))?;
        // Through a pooler, what is set on a session would be somebody else's.
        if !connection.is_pooled() {
            let settled = connection.settle(read_only);
            settled.map_err(|error| error::store_error(&error))?;
        }
        Ok(connection)
    }

    /// Settles how the session behaves.
    ///
    /// The change of a new SQLite file to WAL is refused at once, whatever the busy timeout, while another
    /// process makes it; then it is tried again.
    fn settle(&mut self, read_only: bool) -> QueryResult<()> {
        let settings = settings::settings(self, read_only);
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

    /// Whether each transaction may have another session.
    pub(crate) const fn is_pooled(&self) -> bool {
        match self {
            Self::Postgres(postgres) => postgres.is_pooled(),
            Self::Sqlite(_) => false,
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

    /// How many queries are best asked as one: where each goes over a network, a few.
    pub(crate) const fn at_once(&self) -> usize {
        match self {
            Self::Postgres(_) => 8,
            Self::Sqlite(_) => 1,
        }
    }

    /// Begins a transaction, or sets a savepoint when one is open.
    ///
    /// On SQLite a transaction that reads before it writes fails when another process has written in
    /// between, however long it may wait; one that takes the lock at its start does not.
    pub(crate) fn begin(&mut self) -> QueryResult<()> {
        if self.depth() == 0
            && let Self::Sqlite(sqlite) = self
        {
            return AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE");
        }
        Self::begin_transaction(self)
    }

    /// Has the commits of a session of PostgreSQL wait for no disk: a crash of the server may undo the last
    /// of them.
    pub(crate) fn commit_early(&mut self) -> QueryResult<()> {
        match self {
            Self::Postgres(postgres) => postgres.batch_execute("SET synchronous_commit = off"),
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Begins a transaction that changes nothing and in which every question sees the same state.
    pub(crate) fn begin_snapshot(&mut self) -> QueryResult<()> {
        match self {
            Self::Postgres(postgres) => AnsiTransactionManager::begin_transaction_sql(
                postgres,
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
            Self::Sqlite(_) => Self::begin_transaction(self),
        }
    }

    /// What PostgreSQL's clock tells, in microseconds since 1970.
    pub(crate) fn clock_micros(&mut self) -> QueryResult<i64> {
        match self {
            Self::Postgres(postgres) => diesel::select(diesel::dsl::sql::<BigInt>(
                "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            ))
            .get_result(postgres),
            Self::Sqlite(_) => Ok(i64::MAX),
        }
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
