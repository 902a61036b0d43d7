//! Segments of audit events: written by as few statements as each engine can, all of them prepared once.

use diesel::{
    PgConnection, QueryResult, SqliteConnection,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
    sqlite::Sqlite,
};

use crate::{
    connection::AnyConnection,
    events::Segment,
    schema::{audit_mentions, audit_segments},
};

/// How long a subject is, in bytes.
const SUBJECT: usize = 17;

/// Adds a segment and whom it mentions.
pub(crate) fn insert(connection: &mut AnyConnection, segment: &Segment) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => InsertAll(segment).execute(postgres).map(drop),
        AnyConnection::Sqlite(sqlite) => {
            diesel::insert_into(audit_segments::table)
                .values((
                    audit_segments::last_id.eq(&segment.last_id[..]),
                    audit_segments::first_id.eq(&segment.first_id[..]),
                    audit_segments::events.eq(segment.events),
                    audit_segments::body.eq(&segment.body),
                ))
                .execute(sqlite)?;
            InsertMentions {
                subjects: segment.subjects.as_flattened(),
                last_id: &segment.last_id,
            }
            .execute(sqlite)
            .map(drop)
        }
    }
}

/// A segment and its mentions, for one way over the network.
struct InsertAll<'a>(&'a Segment);

impl QueryFragment<Pg> for InsertAll<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self(segment) = self;
        out.push_sql(
            "WITH segment AS (INSERT INTO audit_segments (last_id, first_id, events, body) VALUES (",
        );
        out.push_bind_param::<Binary, [u8]>(&segment.last_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, [u8]>(&segment.first_id)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, i64>(&segment.events)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, Vec<u8>>(&segment.body)?;
        out.push_sql(")) INSERT INTO audit_mentions (subject, last_id) SELECT subject, ");
        out.push_bind_param::<Binary, [u8]>(&segment.last_id)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Binary>, Vec<[u8; SUBJECT]>>(&segment.subjects)?;
        out.push_sql(") AS subject");
        Ok(())
    }
}

impl QueryId for InsertAll<'_> {
    type QueryId = InsertAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for InsertAll<'_> {}

/// All mentions of a segment, the subjects given as one value and cut into pieces by the engine: one
/// statement, whose text is the same however many there are.
struct InsertMentions<'a> {
    subjects: &'a [u8],
    last_id: &'a [u8],
}

impl QueryFragment<Sqlite> for InsertMentions<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("WITH RECURSIVE given (subjects, last_id) AS (VALUES (");
        out.push_bind_param::<Binary, [u8]>(self.subjects)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, [u8]>(self.last_id)?;
        out.push_sql(
            ")), piece (at) AS (SELECT 1 UNION ALL SELECT at + 17 FROM piece WHERE at + 17 <= \
             (SELECT length(subjects) FROM given)) INSERT INTO audit_mentions (subject, last_id) \
             SELECT substr(subjects, at, 17), last_id FROM given, piece WHERE length(subjects) > 0",
        );
        Ok(())
    }
}

impl QueryId for InsertMentions<'_> {
    type QueryId = InsertMentions<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertMentions<'_> {}

/// The ids by which segments are sorted, and their bodies.
type Bodies = Vec<(Vec<u8>, Vec<u8>)>;

/// Segments whose last ids are not below `from` and are below `below`, the last first; those alone
/// that mention the subject, if there is one.
pub(crate) fn below(
    connection: &mut AnyConnection,
    subject: Option<&[u8; SUBJECT]>,
    from: &[u8],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    match subject {
        None => audit_segments::table
            .filter(audit_segments::last_id.ge(from))
            .filter(audit_segments::last_id.lt(below))
            .order(audit_segments::last_id.desc())
            .limit(limit)
            .select((audit_segments::last_id, audit_segments::body))
            .load(connection),
        Some(subject) => audit_mentions::table
            .inner_join(audit_segments::table)
            .filter(audit_mentions::subject.eq(&subject[..]))
            .filter(audit_mentions::last_id.ge(from))
            .filter(audit_mentions::last_id.lt(below))
            .order(audit_mentions::last_id.desc())
            .limit(limit)
            .select((audit_segments::last_id, audit_segments::body))
            .load(connection),
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

/// Segments whose last ids are above `above` and below `below`, the first first.
pub(crate) fn between(
    connection: &mut AnyConnection,
    above: &[u8],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    audit_segments::table
        .filter(audit_segments::last_id.gt(above))
        .filter(audit_segments::last_id.lt(below))
        .order(audit_segments::last_id.asc())
        .limit(limit)
        .select((audit_segments::last_id, audit_segments::body))
        .load(connection)
}

/// Deletes a segment that mentions these subjects.
pub(crate) fn delete(
    connection: &mut AnyConnection,
    last_id: &[u8],
    subjects: &[[u8; SUBJECT]],
) -> QueryResult<()> {
    let subjects: Vec<&[u8]> = subjects.iter().map(|subject| &subject[..]).collect();
    let mentions = audit_mentions::table
        .filter(audit_mentions::last_id.eq(last_id))
        .filter(audit_mentions::subject.eq_any(subjects));
    diesel::delete(mentions).execute(connection)?;
    diesel::delete(audit_segments::table.find(last_id)).execute(connection)?;
    Ok(())
}
