//! Segments of audit events: written by one statement, prepared once.

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

use super::{index, same};
use crate::{
    connection::AnyConnection,
    schema::{audit_segments, meta},
    stamps::COMMIT_TIMEOUT_MS,
};

/// The lock that is held by whoever adds a segment to PostgreSQL, from before its number is given until
/// it is there for all to see. SQLite gives numbers in the order of its commits.
pub(super) const ADDING: i64 = 0x6d6f_6c5f_6164_6400;

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
    let added = match connection {
        AnyConnection::Postgres(postgres) => insert.execute(postgres),
        AnyConnection::Sqlite(sqlite) => insert.execute(sqlite),
    };
    Ok(added? > 0)
}

/// What PostgreSQL's clock tells, in microseconds since 1970.
pub(crate) fn clock_micros(connection: &mut AnyConnection) -> QueryResult<i64> {
    match connection {
        AnyConnection::Postgres(postgres) => diesel::select(diesel::dsl::sql::<BigInt>(
            "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        ))
        .get_result(postgres),
        AnyConnection::Sqlite(_) => Ok(i64::MAX),
    }
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

define_sql_function! {
    /// Where bytes begin in others, from 1 on; 0 where they are not. PostgreSQL's alone.
    #[sql_name = "pg_catalog.position"]
    fn bytes_position(all: Binary, some: Binary) -> Integer;
}

/// The ids by which segments are sorted, and their bodies.
pub(crate) type Bodies = Vec<(Vec<u8>, Vec<u8>)>;

/// A place among segments: a second, and an id within it.
pub(crate) struct Place {
    pub(crate) second: i64,
    pub(crate) id: Vec<u8>,
}

/// Segments whose last ids are not below `from` and are below `below`, the last first.
pub(crate) fn below(
    connection: &mut AnyConnection,
    from: &Place,
    below: &Place,
    limit: i64,
) -> QueryResult<Bodies> {
    let question = audit_segments::table
        .filter(audit_segments::second.between(from.second, below.second))
        .filter(audit_segments::last_id.ge(&from.id))
        .filter(audit_segments::last_id.lt(&below.id))
        .order((
            audit_segments::second.desc(),
            audit_segments::last_id.desc(),
        ))
        .limit(limit)
        .select((audit_segments::last_id, audit_segments::body));
    same::list(connection, question)
}

/// The bodies of segments that begin above an id and below another, which they do not end below.
pub(crate) fn astride(
    connection: &mut AnyConnection,
    above: &[u8],
    below: &[u8],
) -> QueryResult<Vec<Vec<u8>>> {
    let question = audit_segments::table
        .filter(audit_segments::first_id.gt(above))
        .filter(audit_segments::first_id.lt(below))
        .filter(audit_segments::last_id.ge(below))
        .select(audit_segments::body);
    same::ask(connection, question)
}

/// Segments whose first ids are above `after` and below `below`, and whose last ids are not below
/// `from`, the first first.
pub(crate) fn from(
    connection: &mut AnyConnection,
    after: &[u8],
    from: &[u8],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    audit_segments::table
        .filter(audit_segments::first_id.gt(after))
        .filter(audit_segments::first_id.lt(below))
        .filter(audit_segments::last_id.ge(from))
        .order(audit_segments::first_id.asc())
        .limit(limit)
        .select((audit_segments::first_id, audit_segments::body))
        .load(connection)
}

/// The bodies of the segments whose ids go from `low` or above to `id` or beyond, and have `id` between
/// their first and their last.
pub(crate) fn around(
    connection: &mut AnyConnection,
    id: &[u8],
    low: &[u8],
) -> QueryResult<Vec<Vec<u8>>> {
    audit_segments::table
        .filter(audit_segments::first_id.le(id))
        .filter(audit_segments::first_id.ge(low))
        .filter(audit_segments::last_id.ge(id))
        .order(audit_segments::first_id.desc())
        .select(audit_segments::body)
        .load(connection)
}

/// The seconds, last ids and bodies of segments.
type Stored = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The first segments between two seconds, both included: about `limit`, and all of each second.
/// Whether there may be more comes with them.
pub(crate) fn whole_seconds(
    connection: &mut AnyConnection,
    from: i64,
    to: i64,
    limit: usize,
) -> QueryResult<(Stored, bool)> {
    let columns = (
        audit_segments::second,
        audit_segments::last_id,
        audit_segments::body,
    );
    let mut segments: Stored = audit_segments::table
        .filter(audit_segments::second.between(from, to))
        .order((audit_segments::second, audit_segments::last_id))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(columns)
        .load(connection)?;
    let more = segments.len() >= limit;
    if more && let Some((second, last_id, _)) = segments.last() {
        let rest: Stored = audit_segments::table
            .filter(audit_segments::second.eq(second))
            .filter(audit_segments::last_id.gt(last_id))
            .order(audit_segments::last_id)
            .select(columns)
            .load(connection)?;
        segments.extend(rest);
    }
    Ok((segments, more))
}

/// Deletes a segment.
pub(crate) fn delete(
    connection: &mut AnyConnection,
    second: i64,
    last_id: &[u8],
) -> QueryResult<()> {
    let it = audit_segments::table
        .filter(audit_segments::second.eq(second))
        .filter(audit_segments::last_id.eq(last_id));
    if matches!(connection, AnyConnection::Postgres(_)) {
        return diesel::delete(it).execute(connection).map(drop);
    }
    let newest = index::newest(connection)?;
    diesel::delete(it).execute(connection)?;
    // SQLite gives the number of the newest again.
    let left = index::newest(connection)?;
    if newest != left {
        index::uncover_above(connection, left)?;
    }
    Ok(())
}

/// The row of `meta` that tells how far ids run ahead of the times of their events, in hours.
const AHEAD: &str = "audit_ids_ahead_hours";

/// How far ids run ahead of the times of their events at the most, in hours.
pub(crate) fn ahead_hours(connection: &mut AnyConnection) -> QueryResult<i64> {
    let stored: Option<String> = meta::table
        .filter(meta::name.eq(AHEAD))
        .select(meta::value)
        .first(connection)
        .optional()?;
    Ok(stored.and_then(|hours| hours.parse().ok()).unwrap_or(0))
}

/// Notes how far ids run ahead, unless it is as far already.
pub(crate) fn raise_ahead_hours(connection: &mut AnyConnection, hours: i64) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "INSERT INTO meta (name, value) VALUES ('{AHEAD}', '{hours}')
         ON CONFLICT (name) DO UPDATE SET value = excluded.value
         WHERE CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT)"
    ))
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
