//! Segments that may mention a subject.

use audit_log::Subject;
use diesel::{
    QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
};

use super::{audit_segments, reads::Bodies};
use crate::connection::{AnyConnection, PgConnection, prepared::Prepared};

define_sql_function! {
    /// Where bytes begin in others, from 1 on; 0 where they are not. PostgreSQL's alone.
    #[sql_name = "pg_catalog.position"]
    fn bytes_position(all: Binary, some: Binary) -> Integer;
}

/// A stretch of last ids within a second.
pub(crate) struct Stretch {
    pub(crate) second: i64,
    pub(crate) from: Vec<u8>,
    pub(crate) below: Vec<u8>,
}

/// The last segments in these stretches, the last of which comes first, with ids below one; those without
/// the subject perhaps left out: their last ids and bodies.
pub(crate) fn within(
    connection: &mut AnyConnection,
    subject: &Subject,
    stretches: &[Stretch],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    let sqlite = match connection {
        AnyConnection::Postgres(postgres) => {
            let within = SegmentsWithin::new(subject, stretches, below, limit);
            return within.load(postgres);
        }
        AnyConnection::Sqlite(sqlite) => sqlite,
    };
    let mut all = Bodies::new();
    for stretch in stretches {
        let left = limit.saturating_sub(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let question = audit_segments::table
            .filter(audit_segments::second.eq(stretch.second))
            .filter(audit_segments::last_id.ge(&stretch.from))
            .filter(audit_segments::last_id.lt(stretch.below.as_slice().min(below)))
            .order(audit_segments::last_id.desc())
            .select((audit_segments::last_id, audit_segments::body))
            .limit(left);
        all.append(&mut Prepared(question).load(sqlite)?);
    }
    Ok(all)
}

/// The segments of [`within`].
struct SegmentsWithin<'a> {
    subject: &'a Subject,
    seconds: Vec<i64>,
    from: Vec<&'a [u8]>,
    to: Vec<&'a [u8]>,
    limit: i64,
}

impl<'a> SegmentsWithin<'a> {
    fn new(subject: &'a Subject, stretches: &'a [Stretch], below: &'a [u8], limit: i64) -> Self {
        let mut within = Self {
            subject,
            seconds: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            limit,
        };
        for stretch in stretches {
            within.seconds.push(stretch.second);
            within.from.push(&stretch.from);
            within.to.push(below.min(&stretch.below));
        }
        within
    }
}

impl QueryFragment<Pg> for SegmentsWithin<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT segment.last_id, segment.body FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.seconds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.from)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.to)?;
        out.push_sql(
            ") AS stretch (second, lowest, highest), LATERAL (SELECT last_id, body \
             FROM audit_segments WHERE second = stretch.second AND last_id >= stretch.lowest \
             AND last_id < stretch.highest AND pg_catalog.position(body, ",
        );
        out.push_bind_param::<Binary, _>(&self.subject[..])?;
        out.push_sql(") > 0 ORDER BY last_id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS segment ORDER BY segment.last_id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        Ok(())
    }
}

impl QueryId for SegmentsWithin<'_> {
    type QueryId = SegmentsWithin<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for SegmentsWithin<'_> {
    type SqlType = (Binary, Binary);
}

impl RunQueryDsl<PgConnection> for SegmentsWithin<'_> {}

/// The numbers, last ids and bodies of segments.
type Numbered = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The last segments between two numbers, neither of them included, that begin below an id; those without
/// the subject perhaps left out: their numbers, last ids and bodies.
pub(crate) fn before(
    connection: &mut AnyConnection,
    subject: &Subject,
    (above, below): (i64, i64),
    first_below: &[u8],
    limit: i64,
) -> QueryResult<Numbered> {
    let question = audit_segments::table
        .filter(audit_segments::number.gt(above))
        .filter(audit_segments::number.lt(below))
        .filter(audit_segments::first_id.lt(first_below))
        .order(audit_segments::number.desc())
        .select((
            audit_segments::number,
            audit_segments::last_id,
            audit_segments::body,
        ))
        .limit(limit);
    match connection {
        // What is not wanted need not come over the network.
        AnyConnection::Postgres(postgres) => {
            let mentions = bytes_position(audit_segments::body, &subject[..]).gt(0);
            Prepared(question.filter(mentions)).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => Prepared(question).load(sqlite),
    }
}
