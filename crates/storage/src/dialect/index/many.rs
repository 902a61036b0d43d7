//! Several questions asked of PostgreSQL as one, for each of their own would go over the network. Each is
//! a loop over what is wanted, with a limit within, so that no plan looks at all of a table for it.

use audit_log::Subject;
use diesel::{
    QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
};

use super::Stretch;
use crate::connection::PgConnection;

/// The segments of [`super::segments_within`].
pub(super) struct SegmentsWithin<'a> {
    subject: &'a Subject,
    seconds: Vec<i64>,
    from: Vec<&'a [u8]>,
    to: Vec<&'a [u8]>,
    limit: i64,
}

impl<'a> SegmentsWithin<'a> {
    pub(super) fn new(
        subject: &'a Subject,
        stretches: &'a [Stretch],
        below: &'a [u8],
        limit: i64,
    ) -> Self {
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

/// The pages of [`super::pages_before`].
pub(super) struct PagesBefore<'a> {
    pub(super) runs: &'a [i64],
    pub(super) key: &'a [u8],
}

impl QueryFragment<Pg> for PagesBefore<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT page.run, page.first, page.body FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(self.runs)?;
        out.push_sql(
            ") AS wanted, LATERAL (SELECT run, first, body FROM audit_index_pages \
             WHERE run = wanted AND first < ",
        );
        out.push_bind_param::<Binary, _>(self.key)?;
        out.push_sql(" ORDER BY first DESC LIMIT 1) AS page");
        Ok(())
    }
}

impl QueryId for PagesBefore<'_> {
    type QueryId = PagesBefore<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for PagesBefore<'_> {
    type SqlType = (BigInt, Binary, Binary);
}

impl RunQueryDsl<PgConnection> for PagesBefore<'_> {}
