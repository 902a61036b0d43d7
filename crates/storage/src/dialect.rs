//! Everything in which the engines differ.
//!
//! The enum of both engines can't express upserts, row locks and the insertion of many rows, so these
//! are written once for each engine, side by side.

use diesel::{
    QueryResult,
    connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager},
    prelude::*,
    upsert::excluded,
};

pub(crate) use self::locks::{
    await_key_uses, lock_key, lock_key_for_use, lock_keys, lock_org, lock_orgs, lock_partner,
    lock_partners,
};
use crate::{
    connection::AnyConnection,
    events::EventRow,
    idempotency::ReplyRow,
    schema::{audit_events, meta, replies, workspaces},
    workspaces::WorkspaceRow,
};

pub(crate) mod counts;
pub(crate) mod locks;
pub(crate) mod migrations;
pub(crate) mod same;
pub(crate) mod segments;
pub(crate) mod server;

/// A plan outlives the sizes of the tables it was made for: what was prepared on an empty database
/// would go on reading whole tables that have grown. A writer finds all its rows by an index, so it is
/// told to, where the server knows these settings.
const BY_INDEX: &str = "'enable_seqscan', 'enable_hashjoin', 'enable_mergejoin'";

/// The statements that settle how a session behaves.
pub(crate) fn settings(connection: &AnyConnection, read_only: bool) -> String {
    match connection {
        // A server that is set to wait for its replicas goes on doing so; one that is set to wait for
        // nothing waits for its disk in our sessions.
        AnyConnection::Postgres(_) => format!(
            "SET default_transaction_isolation = 'read committed';
             {}
             SET lock_timeout = '5s';
             SET statement_timeout = '30s';
             SET idle_in_transaction_session_timeout = '30s';
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
             SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('jit', {});",
            // Whether changes are refused otherwise is the server's to say.
            if read_only {
                "SET default_transaction_read_only = on;"
            } else {
                ""
            },
            // Nothing here runs long enough to be worth compiling, and a table without the index that
            // a writer is to use looks as if it did.
            if read_only { "'jit'" } else { BY_INDEX },
        ),
        // The wait for locks comes first, for the change to WAL needs one. The log is moved into the file
        // beside the writer; only when that does not keep up, a commit sees to it.
        AnyConnection::Sqlite(_) => format!(
            "PRAGMA busy_timeout = 5000;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 8000;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA temp_store = {};
             PRAGMA query_only = {};",
            // What a savepoint keeps is small. A reader that sorts much is better off with a file.
            if read_only { "DEFAULT" } else { "MEMORY" },
            if read_only { "ON" } else { "OFF" },
        ),
    }
}

/// Begins a transaction, or sets a savepoint when one is open.
///
/// On SQLite a transaction that reads before it writes fails when another process has written in
/// between, however long it may wait; one that takes the lock at its start does not.
pub(crate) fn begin(connection: &mut AnyConnection) -> QueryResult<()> {
    if connection.depth() == 0
        && let AnyConnection::Sqlite(sqlite) = connection
    {
        return AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE");
    }
    AnyConnection::begin_transaction(connection)
}

/// Has SQLite's commits leave the wait for the disk to the caller. Checkpoints wait for it all the same.
pub(crate) fn commit_without_waiting(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(_) => Ok(()),
        AnyConnection::Sqlite(sqlite) => sqlite.batch_execute("PRAGMA synchronous = NORMAL"),
    }
}

/// SQLite's write-ahead log after a checkpoint.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub(crate) struct Checkpointed {
    /// How many pages it has; below zero when there is none.
    #[diesel(sql_type = diesel::sql_types::BigInt, column_name = log)]
    pub(crate) pages: i64,
    /// How many of them stand in the file.
    #[diesel(sql_type = diesel::sql_types::BigInt, column_name = checkpointed)]
    pub(crate) moved: i64,
}

/// A checkpoint: moves SQLite's write-ahead log into the file, as much of it as can be without anybody
/// waiting. PostgreSQL sees to its own.
pub(crate) fn checkpoint(connection: &mut AnyConnection) -> QueryResult<Option<Checkpointed>> {
    match connection {
        AnyConnection::Postgres(_) => Ok(None),
        AnyConnection::Sqlite(sqlite) => diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)")
            .get_result(sqlite)
            .map(Some),
    }
}

/// Moves all of SQLite's write-ahead log into the file and empties it; whether nobody was in the way.
pub(crate) fn empty_log(connection: &mut AnyConnection) -> QueryResult<bool> {
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

/// Begins a transaction that changes nothing and in which every question sees the same state.
pub(crate) fn begin_snapshot(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => AnsiTransactionManager::begin_transaction_sql(
            postgres,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ),
        AnyConnection::Sqlite(_) => AnyConnection::begin_transaction(connection),
    }
}

/// Runs the same statement on either engine's own connection.
macro_rules! on_both {
    ($connection:expr, |$inner:ident| $statement:expr) => {
        match $connection {
            AnyConnection::Postgres($inner) => $statement,
            AnyConnection::Sqlite($inner) => $statement,
        }
    };
}

// Below the macro, which they use.
pub(crate) mod due;
pub(crate) mod hasten;
pub(crate) mod index;
pub(crate) mod many;
mod org_row;
pub(crate) mod webhooks;

/// Adds a workspace unless its org has one of its slug; whether it was added.
pub(crate) fn workspace_insert(
    connection: &mut AnyConnection,
    row: &WorkspaceRow,
) -> QueryResult<bool> {
    match connection {
        AnyConnection::Postgres(postgres) => same::Same(
            diesel::insert_into(workspaces::table)
                .values(row)
                .on_conflict((workspaces::org_id, workspaces::slug))
                .do_nothing(),
        )
        .execute(postgres),
        AnyConnection::Sqlite(sqlite) => org_row::InsertWorkspace(row).execute(sqlite),
    }
    .map(|rows| rows > 0)
}

/// Adds a value unless there is one of its name; whether it was added.
pub(crate) fn meta_insert(
    connection: &mut AnyConnection,
    name: &str,
    value: &str,
) -> QueryResult<bool> {
    on_both!(connection, |inner| same::Same(
        diesel::insert_into(meta::table)
            .values((meta::name.eq(name), meta::value.eq(value)))
            .on_conflict(meta::name)
            .do_nothing()
    )
    .execute(inner))
    .map(|rows| rows > 0)
}

/// Adds the place for an answer unless it is there; whether it was added.
///
/// On PostgreSQL it waits for whoever adds the same one at the same time.
pub(crate) fn reply_insert(connection: &mut AnyConnection, row: &ReplyRow) -> QueryResult<bool> {
    on_both!(connection, |inner| same::Same(
        diesel::insert_into(replies::table)
            .values(row)
            .on_conflict((replies::credential, replies::call))
            .do_nothing()
    )
    .execute(inner))
    .map(|rows| rows > 0)
}

/// The places of answers that were begun before a time, the oldest first; on PostgreSQL they are locked, and
/// those that another transaction has locked are passed over: whoever forgets many waits for nobody.
pub(crate) fn outdated_replies(
    connection: &mut AnyConnection,
    since: i64,
    limit: i64,
) -> QueryResult<Vec<(String, Vec<u8>)>> {
    let outdated = replies::table
        .filter(replies::begun_at.lt(since))
        .order(replies::begun_at)
        .limit(limit)
        .select((replies::credential, replies::call));
    match connection {
        AnyConnection::Postgres(postgres) => outdated.for_update().skip_locked().load(postgres),
        AnyConnection::Sqlite(sqlite) => outdated.load(sqlite),
    }
}

/// Adds an event, or replaces the details of the one of its id.
pub(crate) fn event_fold(connection: &mut AnyConnection, row: &EventRow) -> QueryResult<()> {
    on_both!(connection, |inner| same::Same(
        diesel::insert_into(audit_events::table)
            .values(row)
            .on_conflict(audit_events::id)
            .do_update()
            .set(audit_events::details.eq(excluded(audit_events::details)))
    )
    .execute(inner))
    .map(drop)
}
