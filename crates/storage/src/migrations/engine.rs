//! The migrations of each engine, and the lock of whoever runs them.

use diesel::{QueryResult, connection::SimpleConnection as _, prelude::*};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::{connection::AnyConnection, tables::meta};

diesel::table! {
    /// What `diesel_migrations` has applied.
    #[sql_name = "__diesel_schema_migrations"]
    applied_migrations (version) {
        version -> Text,
    }
}

const FOR_POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
pub(crate) const FOR_SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// The migrations of the connection's engine; they have the same names on both.
pub(crate) const fn all(connection: &AnyConnection) -> EmbeddedMigrations {
    match connection {
        AnyConnection::Postgres(_) => FOR_POSTGRES,
        AnyConnection::Sqlite(_) => FOR_SQLITE,
    }
}

/// The advisory lock of whoever migrates a PostgreSQL database.
const MIGRATING: i64 = 0x6d6f_6c5f_6d69_6700;

/// Has a session wait for other processes that hold an SQLite file for a second at a time. On PostgreSQL
/// [`lock`] sees to that.
pub(crate) fn wait_briefly(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(_) => Ok(()),
        AnyConnection::Sqlite(sqlite) => sqlite.batch_execute("PRAGMA busy_timeout = 1000"),
    }
}

/// Keeps other processes from migrating until the transaction ends, and waits for one that does, however
/// long that takes; statements may take as long as the tables are large. The table of versions is made when
/// it is missing.
pub(crate) fn lock(connection: &mut AnyConnection) -> QueryResult<()> {
    let make_table = |connection: &mut AnyConnection| {
        diesel::migration::MigrationConnection::setup(connection).map(drop)
    };
    match connection {
        AnyConnection::Postgres(postgres) => {
            postgres.wait_without_end();
            postgres.batch_execute(
                "SET LOCAL statement_timeout = 0;
                 SET LOCAL lock_timeout = 0;",
            )?;
            // The advisory lock comes first: PostgreSQL refuses the second of two that make a table at
            // once, "if not exists" or not. Versions before it knew the lock of the table alone.
            let acquired = diesel::select(pg_try_advisory_xact_lock(MIGRATING));
            if !acquired.get_result::<bool>(postgres)? {
                tracing::info!(
                    "another process migrates this database, waiting until it has ended"
                );
                postgres.batch_execute(&format!("SELECT pg_advisory_xact_lock({MIGRATING})"))?;
            }
            make_table(connection)?;
            // Calls that run must not wait long behind a change of a table that waits for its lock.
            connection.batch_execute(
                "LOCK TABLE __diesel_schema_migrations IN ACCESS EXCLUSIVE MODE;
                 SET LOCAL lock_timeout = '5s';",
            )
        }
        // The transaction itself keeps all other writers out.
        AnyConnection::Sqlite(_) => make_table(connection),
    }
}

define_sql_function! {
    /// Takes a lock until the transaction ends, unless somebody else has it.
    fn pg_try_advisory_xact_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool;
}

/// How many tables are named at the most.
const MAX_TABLES: usize = 3;

/// Some of the tables of a database beside that of versions, those of extensions left out.
pub(crate) fn tables(connection: &mut AnyConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
    }
    let question = match connection {
        AnyConnection::Postgres(_) => {
            "SELECT relname::text AS name FROM pg_class
             WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
                 AND NOT EXISTS (
                     SELECT FROM pg_depend
                     WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
                 )"
        }
        AnyConnection::Sqlite(_) => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        }
    };
    let question = format!("{question} ORDER BY name LIMIT {}", MAX_TABLES + 1);
    let tables: Vec<Table> = diesel::sql_query(question).load(connection)?;
    let names = tables.into_iter().map(|table| table.name);
    Ok(names
        .filter(|name| name != "__diesel_schema_migrations")
        .take(MAX_TABLES)
        .collect())
}

/// The row of `meta` by which a migration that takes something away says so.
const CONTRACTED: &str = "contracted";

/// The version of the last migration that took away what programs before it need; `None` when there was
/// none. The database has been migrated.
pub(crate) fn contracted(connection: &mut AnyConnection) -> QueryResult<Option<String>> {
    meta::value(connection, CONTRACTED)
}

/// The versions of the migrations that have been applied; none when the database is empty.
pub(crate) fn applied(connection: &mut AnyConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Tables {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let question = match connection {
        AnyConnection::Postgres(_) => {
            "SELECT count(to_regclass('__diesel_schema_migrations')) AS count"
        }
        AnyConnection::Sqlite(_) => {
            "SELECT count(*) AS count FROM sqlite_master WHERE name = '__diesel_schema_migrations'"
        }
    };
    let tables: Tables = diesel::sql_query(question).get_result(connection)?;
    if tables.count == 0 {
        return Ok(Vec::new());
    }
    applied_migrations::table
        .select(applied_migrations::version)
        .order(applied_migrations::version)
        .load(connection)
}
