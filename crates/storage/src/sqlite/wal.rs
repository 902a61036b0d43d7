//! The write-ahead log: when it is synced, and how it is moved into the file.

use diesel::{QueryResult, RunQueryDsl as _, connection::SimpleConnection as _};

use crate::connection::AnyConnection;

/// Has SQLite's commits leave the wait for the disk to the caller. Checkpoints wait for it all the same.
pub(super) fn commit_without_waiting(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(_) => Ok(()),
        AnyConnection::Sqlite(sqlite) => sqlite.batch_execute("PRAGMA synchronous = NORMAL"),
    }
}

/// SQLite's write-ahead log after a checkpoint.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub(super) struct Checkpointed {
    /// How many pages it has; below zero when there is none.
    #[diesel(sql_type = diesel::sql_types::BigInt, column_name = log)]
    pub(super) pages: i64,
    /// How many of them stand in the file.
    #[diesel(sql_type = diesel::sql_types::BigInt, column_name = checkpointed)]
    pub(super) moved: i64,
}

/// A checkpoint: moves SQLite's write-ahead log into the file, as much of it as can be without anybody
/// waiting. PostgreSQL sees to its own.
pub(super) fn checkpoint(connection: &mut AnyConnection) -> QueryResult<Option<Checkpointed>> {
    match connection {
        AnyConnection::Postgres(_) => Ok(None),
        AnyConnection::Sqlite(sqlite) => diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)")
            .get_result(sqlite)
            .map(Some),
    }
}

/// Moves all of SQLite's write-ahead log into the file and empties it; whether nobody was in the way.
pub(super) fn empty(connection: &mut AnyConnection) -> QueryResult<bool> {
    /// What the engine says of it.
    #[derive(diesel::QueryableByName)]
    struct Emptied {
        /// 1 when somebody reads or writes in the log.
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        busy: i64,
    }
    match connection {
        AnyConnection::Postgres(_) => Ok(true),
        AnyConnection::Sqlite(sqlite) => diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)")
            .get_result(sqlite)
            .map(|emptied: Emptied| emptied.busy == 0),
    }
}
