//! The migrations of each engine, and the lock of whoever runs them.

use diesel::{QueryResult, connection::SimpleConnection as _, prelude::*};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::connection::AnyConnection;

diesel::table! {
    /// What `diesel_migrations` has applied.
    #[sql_name = "__diesel_schema_migrations"]
    applied_migrations (version) {
        version -> Text,
    }
}

const FOR_POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const FOR_SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// The migrations of the connection's engine; they have the same names on both.
pub(crate) const fn all(connection: &AnyConnection) -> EmbeddedMigrations {
    match connection {
        AnyConnection::Postgres(_) => FOR_POSTGRES,
        AnyConnection::Sqlite(_) => FOR_SQLITE,
    }
}

/// The advisory lock of whoever migrates a PostgreSQL database.
const MIGRATING: i64 = 0x6d6f_6c5f_6d69_6700;

/// Has a session wait long for other processes that migrate: for as long as a large table takes. On
/// PostgreSQL [`lock`] sees to that.
pub(crate) fn wait_long(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(_) => Ok(()),
        AnyConnection::Sqlite(sqlite) => sqlite.batch_execute("PRAGMA busy_timeout = 600000"),
    }
}

/// Keeps other processes from migrating until the transaction ends; its statements may take as long as the
/// tables are large. The table of versions is made when it is missing.
pub(crate) fn lock(connection: &mut AnyConnection) -> QueryResult<()> {
    let make_table = |connection: &mut AnyConnection| {
        diesel::migration::MigrationConnection::setup(connection).map(drop)
    };
    match connection {
        AnyConnection::Postgres(postgres) => {
            postgres.wait_without_end();
            // The advisory lock comes first: PostgreSQL refuses the second of two that make a table at
            // once, "if not exists" or not. Versions before it knew the lock of the table alone.
            postgres.batch_execute(&format!(
                "SET LOCAL statement_timeout = 0;
                 SET LOCAL lock_timeout = '10min';
                 SELECT pg_advisory_xact_lock({MIGRATING});"
            ))?;
            make_table(connection)?;
            connection.batch_execute(
                "LOCK TABLE __diesel_schema_migrations IN ACCESS EXCLUSIVE MODE;
                 SET LOCAL lock_timeout = '5s';",
            )
        }
        // The transaction itself keeps all other writers out.
        AnyConnection::Sqlite(_) => make_table(connection),
    }
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
