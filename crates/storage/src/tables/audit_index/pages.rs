//! The pages of runs.

use audit_log::Page;
use diesel::{
    QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
};

use super::runs;
use crate::connection::{
    AnyConnection, PgConnection,
    prepared::{self, Prepared},
};

diesel::table! {
    audit_index_pages (id) {
        id -> BigInt,
        run -> BigInt,
        first -> Binary,
        body -> Binary,
    }
}

/// Runs, what a page of each begins with, and the bodies of those.
type Pages = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The last page of each run that begins before a key, of those that have one.
pub(crate) fn pages_before(
    connection: &mut AnyConnection,
    runs: &[i64],
    key: &[u8],
) -> QueryResult<Pages> {
    let sqlite = match connection {
        AnyConnection::Postgres(postgres) => {
            return PagesBefore { runs, key }.load(postgres);
        }
        AnyConnection::Sqlite(sqlite) => sqlite,
    };
    let mut all = Vec::new();
    for run in runs {
        let question = audit_index_pages::table
            .filter(audit_index_pages::run.eq(run))
            .filter(audit_index_pages::first.lt(key))
            .order(audit_index_pages::first.desc())
            .select((
                audit_index_pages::run,
                audit_index_pages::first,
                audit_index_pages::body,
            ))
            .limit(1);
        all.append(&mut Prepared(question).load(sqlite)?);
    }
    Ok(all)
}

/// The pages of [`pages_before`].
struct PagesBefore<'a> {
    runs: &'a [i64],
    key: &'a [u8],
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

/// Some pages of a run after a key, in their order.
pub(crate) fn pages_after(
    connection: &mut AnyConnection,
    run: i64,
    key: &[u8],
    limit: i64,
) -> QueryResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let question = audit_index_pages::table
        .filter(audit_index_pages::run.eq(run))
        .filter(audit_index_pages::first.gt(key))
        .order(audit_index_pages::first.asc())
        .select((audit_index_pages::first, audit_index_pages::body))
        .limit(limit);
    prepared::load(connection, question)
}

/// Adds pages to a run.
pub(crate) fn add_pages(
    connection: &mut AnyConnection,
    run: i64,
    added: &[Page],
) -> QueryResult<()> {
    let rows = added.iter().map(|page| {
        let (first, body) = (
            audit_index_pages::first.eq(&page.first),
            audit_index_pages::body.eq(&page.body),
        );
        (audit_index_pages::run.eq(run), first, body)
    });
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all =
                diesel::insert_into(audit_index_pages::table).values(rows.collect::<Vec<_>>());
            all.execute(postgres)?;
        }
        AnyConnection::Sqlite(sqlite) => {
            for page in rows {
                let one = diesel::insert_into(audit_index_pages::table).values(page);
                one.execute(sqlite)?;
            }
        }
    }
    Ok(())
}

/// Deletes some pages of a dropped run, and the run once it has none; whether it is gone.
pub(crate) fn gc(connection: &mut AnyConnection, run: i64, limit: i64) -> QueryResult<bool> {
    let some = audit_index_pages::table
        .filter(audit_index_pages::run.eq(run))
        .order(audit_index_pages::first.asc())
        .select(audit_index_pages::first)
        .limit(limit);
    let firsts: Vec<Vec<u8>> = prepared::load(connection, some)?;
    if let Some(last) = firsts.last() {
        let these = audit_index_pages::table
            .filter(audit_index_pages::run.eq(run))
            .filter(audit_index_pages::first.le(last));
        prepared::execute(connection, diesel::delete(these))?;
    }
    if i64::try_from(firsts.len()).unwrap_or(i64::MAX) == limit {
        return Ok(false);
    }
    runs::delete(connection, run)?;
    Ok(true)
}
