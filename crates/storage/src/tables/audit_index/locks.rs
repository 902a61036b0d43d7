//! What several processes that index one PostgreSQL database have to know of each other.

use std::time::Duration;

use diesel::{QueryResult, connection::SimpleConnection as _, prelude::*, sql_types::BigInt};

use crate::{
    connection::{AnyConnection, prepared},
    tables::audit_segments::{ADDING, newest},
};

/// The lock of whoever makes the index.
const INDEXING: i64 = 0x6d6f_6c5f_6964_7800;

define_sql_function! {
    /// Takes a lock until the connection ends or gives it back, unless somebody else has it.
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
}
define_sql_function! {
    /// Gives a lock back.
    fn pg_advisory_unlock(key: BigInt) -> Bool;
}

/// Waits, within a transaction, until whoever has been given a number has added its segment or failed;
/// the highest number that is then given.
pub(crate) fn wait_for_inflight(
    connection: &mut AnyConnection,
    timeout: Duration,
) -> QueryResult<i64> {
    let ms = timeout.as_millis();
    connection.batch_execute(&format!(
        "SET LOCAL lock_timeout = {ms}; SELECT pg_advisory_xact_lock({ADDING});"
    ))?;
    newest(connection)
}

/// Has this connection's commits wait for no disk. What is lost with a crash of PostgreSQL are the last of
/// them, and the index is as it was before.
pub(crate) fn commit_lazily(connection: &mut AnyConnection) -> QueryResult<()> {
    connection.batch_execute("SET synchronous_commit = off")
}

/// Sees that no other connection makes the index; whether that is so.
pub(crate) fn acquire(connection: &mut AnyConnection) -> QueryResult<bool> {
    let acquired: Option<bool> =
        prepared::first_by_type(connection, diesel::select(pg_try_advisory_lock(INDEXING)))?;
    Ok(acquired.unwrap_or(false))
}

/// Lets other connections make the index.
pub(crate) fn release(connection: &mut AnyConnection) -> QueryResult<()> {
    let given_back = diesel::select(pg_advisory_unlock(INDEXING));
    prepared::first_by_type::<_, bool>(connection, given_back).map(drop)
}
