//! Segments of audit events: written by as few statements as each engine can, all of them prepared once.

use diesel::{
    PgConnection, QueryResult, SqliteConnection,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
    sqlite::Sqlite,
};

use super::{index, same};
use crate::{
    connection::AnyConnection,
    events::Segment,
    schema::{audit_mentions, audit_segments},
};

/// How long a subject is, in bytes.
const SUBJECT: usize = 17;

/// Adds a segment and whom it mentions.
pub(super) fn insert_on_postgres(
    connection: &mut PgConnection,
    segment: &Segment,
) -> QueryResult<()> {
    InsertAll(segment).execute(connection).map(drop)
}

/// Adds a segment.
pub(super) fn insert_on_sqlite(
    connection: &mut SqliteConnection,
    segment: &Segment,
) -> QueryResult<()> {
    InsertSegment(segment).execute(connection).map(drop)
}

/// The insertion of a segment, the same on both engines.
macro_rules! insertion {
    ($out:ident, $segment:ident) => {
        $out.push_sql(
            "INSERT INTO audit_segments (second, last_id, first_id, events, body) VALUES (",
        );
        $out.push_bind_param::<BigInt, i64>(&$segment.second)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, [u8]>(&$segment.last_id)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, [u8]>(&$segment.first_id)?;
        $out.push_sql(", ");
        $out.push_bind_param::<BigInt, i64>(&$segment.events)?;
        $out.push_sql(", ");
        $out.push_bind_param::<Binary, Vec<u8>>(&$segment.body)?;
        $out.push_sql(")");
    };
}

/// A segment and its mentions, for one way over the network.
struct InsertAll<'a>(&'a Segment);

impl QueryFragment<Pg> for InsertAll<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(segment) = self;
        out.push_sql("WITH segment AS (");
        insertion!(out, segment);
        out.push_sql(") INSERT INTO audit_mentions (subject, second) SELECT subject, ");
        out.push_bind_param::<BigInt, i64>(&segment.second)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Binary>, Vec<[u8; SUBJECT]>>(&segment.subjects)?;
        // Subjects are sorted, so that two who add the same ones wait for each other in one order.
        out.push_sql(") AS subject ON CONFLICT DO NOTHING");
        Ok(())
    }
}

impl QueryId for InsertAll<'_> {
    type QueryId = InsertAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for InsertAll<'_> {}

/// A segment, without whom it mentions.
struct InsertSegment<'a>(&'a Segment);

impl QueryFragment<Sqlite> for InsertSegment<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(segment) = self;
        insertion!(out, segment);
        Ok(())
    }
}

impl QueryId for InsertSegment<'_> {
    type QueryId = InsertSegment<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertSegment<'_> {}

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

/// Segments whose last ids are not below `from` and are below `below`, the last first; those alone
/// that mention the subject, if there is one. On SQLite nothing is known of mentions.
pub(crate) fn below(
    connection: &mut AnyConnection,
    subject: Option<&[u8; SUBJECT]>,
    from: &Place,
    below: &Place,
    limit: i64,
) -> QueryResult<Bodies> {
    match subject {
        None => {
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
        Some(subject) => {
            let question = audit_mentions::table
                .inner_join(
                    audit_segments::table.on(audit_segments::second.eq(audit_mentions::second)),
                )
                .filter(audit_mentions::subject.eq(&subject[..]))
                .filter(audit_mentions::second.between(from.second, below.second))
                .filter(audit_segments::last_id.ge(&from.id))
                .filter(audit_segments::last_id.lt(&below.id))
                // A busy second has many segments, and few of them mention any one subject.
                .filter(bytes_position(audit_segments::body, &subject[..]).gt(0))
                .order((
                    audit_mentions::second.desc(),
                    audit_segments::last_id.desc(),
                ))
                .limit(limit)
                .select((audit_segments::last_id, audit_segments::body));
            same::list(connection, question)
        }
    }
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

/// The second of the newest segment.
pub(crate) fn newest_second(connection: &mut AnyConnection) -> QueryResult<Option<i64>> {
    audit_segments::table
        .order(audit_segments::second.desc())
        .select(audit_segments::second)
        .first(connection)
        .optional()
}

/// Deletes a segment; whom it mentions stays noted.
pub(crate) fn delete(
    connection: &mut AnyConnection,
    second: i64,
    last_id: &[u8],
) -> QueryResult<()> {
    let indexed = index::is_indexed(connection);
    let newest = indexed.then(|| index::newest(connection)).transpose()?;
    diesel::delete(audit_segments::table.find((second, last_id))).execute(connection)?;
    // The number of the newest is free again.
    if indexed {
        let left = index::newest(connection)?;
        if newest != Some(left) {
            index::uncover_above(connection, left)?;
        }
    }
    Ok(())
}

/// Deletes the notes that these subjects are mentioned in a second.
pub(crate) fn forget(
    connection: &mut AnyConnection,
    second: i64,
    subjects: &[[u8; SUBJECT]],
) -> QueryResult<()> {
    for subjects in subjects.chunks(1000) {
        let subjects: Vec<&[u8]> = subjects.iter().map(|subject| &subject[..]).collect();
        let mentions = audit_mentions::table
            .filter(audit_mentions::second.eq(second))
            .filter(audit_mentions::subject.eq_any(subjects));
        diesel::delete(mentions).execute(connection)?;
    }
    Ok(())
}
