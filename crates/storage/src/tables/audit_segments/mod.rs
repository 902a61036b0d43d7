//! Segments of audit events: where they begin and end, and their bodies. Each is added by one statement,
//! prepared once.

mod mentions;
mod reads;

use audit_log::EncodedSegment;
use diesel::{
    QueryResult,
    connection::SimpleConnection as _,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Binary},
    sqlite::Sqlite,
};

pub(crate) use self::{
    mentions::{Stretch, before, within},
    reads::{
        Bodies, Position, after, around, astride, below, from, last_id, newest, whole_seconds,
    },
};
use super::meta;
use crate::{
    connection::{AnyConnection, on_both},
    stamps::COMMIT_TIMEOUT_MS,
};

diesel::table! {
    audit_segments (number) {
        number -> BigInt,
        second -> BigInt,
        last_id -> Binary,
        first_id -> Binary,
        events -> BigInt,
        body -> Binary,
    }
}

/// The lock that is held by whoever adds a segment to PostgreSQL, from before its number is given until
/// it is there for all to see. SQLite gives numbers in the order of its commits.
pub(in crate::tables) const ADDING: i64 = 0x6d6f_6c5f_6164_6400;

/// The lock of whoever prunes a PostgreSQL database.
const PRUNING: i64 = 0x6d6f_6c5f_7072_6e00;

/// Adds a segment, unless PostgreSQL's clock is past `latest`, in microseconds since 1970, once the
/// statement has come through all locks; whether it did.
pub(crate) fn insert(
    connection: &mut AnyConnection,
    segment: &EncodedSegment,
    latest: i64,
) -> QueryResult<bool> {
    let insert = Insert(segment, latest);
    on_both!(connection, |inner| insert.execute(inner)).map(|added| added > 0)
}

/// The insertion of a segment, whose number comes of itself, until a time.
struct Insert<'a>(&'a EncodedSegment, i64);

/// The insertion, the same on both engines but for what stands around the values.
macro_rules! insertion {
    ($out:ident, $segment:expr, $before:expr, $after:expr) => {
        $out.push_sql("INSERT INTO audit_segments (second, last_id, first_id, events, body) ");
        $out.push_sql($before);
        $out.push_bind_param::<BigInt, i64>(&$segment.second)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, [u8]>(&$segment.last_id)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, [u8]>(&$segment.first_id)?;
        $out.push_sql(", ");
        $out.push_bind_param::<BigInt, i64>(&$segment.events)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, Vec<u8>>(&$segment.body)?;
        $out.push_sql($after);
    };
}

impl QueryFragment<Pg> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The number is given once the row that it is for has come from the lock.
        insertion!(
            out,
            self.0,
            "SELECT ",
            " FROM pg_advisory_xact_lock_shared("
        );
        out.push_bind_param::<BigInt, i64>(&ADDING)?;
        // From here to the end of the transaction.
        out.push_sql("), set_config('idle_in_transaction_session_timeout', '");
        out.push_sql(COMMIT_TIMEOUT_MS);
        out.push_sql(
            "', true) WHERE (extract(epoch FROM clock_timestamp()) * 1000000)::bigint <= ",
        );
        out.push_bind_param::<BigInt, i64>(&self.1)?;
        Ok(())
    }
}

impl QueryFragment<Sqlite> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        insertion!(out, self.0, "VALUES (", ")");
        Ok(())
    }
}

impl QueryId for Insert<'_> {
    type QueryId = Insert<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for Insert<'_> {}

/// The row of `meta` that tells how far ids run ahead of the times of their events, in hours.
const AHEAD: &str = "audit_ids_ahead_hours";

/// How far ids run ahead of the times of their events at the most, in hours.
pub(crate) fn ahead_hours(connection: &mut AnyConnection) -> QueryResult<i64> {
    let stored = meta::value(connection, AHEAD)?;
    Ok(stored.and_then(|hours| hours.parse().ok()).unwrap_or(0))
}

/// Records how far ids run ahead, unless it is as far already.
pub(crate) fn raise_ahead_hours(connection: &mut AnyConnection, hours: i64) -> QueryResult<()> {
    meta::raise(connection, AHEAD, hours)
}

/// Waits until no other process prunes; so it stays until the transaction ends. On SQLite one process
/// writes at a time.
pub(crate) fn prune_alone(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => {
            postgres.batch_execute(&format!("SELECT pg_advisory_xact_lock({PRUNING})"))
        }
        AnyConnection::Sqlite(_) => Ok(()),
    }
}
