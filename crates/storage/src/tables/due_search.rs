//! What is due, found partner by partner: the work of a search grows with the number of partners that it
//! may see, and never with the number of rows that are due.
//!
//! From one partner to the next it goes by an index that begins with the partner. On SQLite each step is
//! a statement of its own, which costs microseconds there; on PostgreSQL each would be a way over the
//! network, so one statement makes them all.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl as _,
    connection::SimpleConnection as _,
    sql_types::{BigInt, Nullable, Text},
};

use crate::connection::{AnyConnection, PgConnection, on_both};

/// What one search has found.
pub(super) struct Found<R> {
    pub(super) rows: Vec<R>,
    /// The partner behind which the next search goes on; none at the end.
    pub(super) after: Option<String>,
}

/// A partner, what is due of it, and when.
pub(super) type DueRow = (String, String, i64);

#[derive(QueryableByName)]
pub(super) struct PendingRow {
    #[diesel(sql_type = Text)]
    pub(super) partner_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) due_at: Option<i64>,
}

/// Keeps the planner to the indexes until the transaction ends: what it knows of the tables may be from
/// a time when they were empty.
pub(super) fn by_index(postgres: &mut PgConnection) -> QueryResult<()> {
    postgres.batch_execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
}

/// Turns the rows of a search over up to `partners` partners into what it has found. A partner without
/// anything has one row.
pub(super) fn found(rows: Vec<PendingRow>, partners: i64) -> Found<DueRow> {
    let mut seen = 0;
    let mut last: Option<String> = None;
    let mut due = Vec::with_capacity(rows.len());
    for row in rows {
        if last.as_ref() != Some(&row.partner_id) {
            seen += 1;
            last = Some(row.partner_id.clone());
        }
        if let (Some(id), Some(due_at)) = (row.id, row.due_at) {
            due.push((row.partner_id, id, due_at));
        }
    }
    Found {
        rows: due,
        after: last.filter(|_| seen >= partners),
    }
}

#[derive(QueryableByName)]
pub(super) struct Counted {
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
}

/// The `count` of a query with these values.
pub(super) fn count(
    connection: &mut AnyConnection,
    text: &str,
    values: &[i64],
) -> QueryResult<i64> {
    let counted: Counted = on_both!(connection, |inner| {
        let mut query = diesel::sql_query(text).into_boxed();
        for value in values {
            query = query.bind::<BigInt, _>(*value);
        }
        query.get_result(inner)?
    });
    Ok(counted.count)
}

#[cfg(test)]
mod tests;
