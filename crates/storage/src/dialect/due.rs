//! What is due, found partner by partner: the work of a search grows with the number of partners that it
//! may see, and never with the number of rows that are due.
//!
//! From one partner to the next it goes by an index that begins with the partner. On SQLite each step is
//! a statement of its own, which costs microseconds there; on PostgreSQL each would be a way over the
//! network, so one statement makes them all.

use diesel::{
    QueryResult, SqliteConnection,
    connection::SimpleConnection as _,
    prelude::*,
    sql_types::{Array, BigInt, Nullable, Text},
};

use super::same::{Fixed, Same};
use crate::{
    connection::{AnyConnection, PgConnection},
    schema::{orgs, webhook_deliveries as deliveries, webhook_endpoints as endpoints},
};

/// What one search has found.
pub(crate) struct Found<R> {
    pub(crate) rows: Vec<R>,
    /// The partner behind which the next search goes on; none at the end.
    pub(crate) after: Option<String>,
}

/// A partner, what is due of it, and when.
pub(crate) type DueRow = (String, String, i64);

#[derive(QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = Text)]
    partner_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    due_at: Option<i64>,
}

/// Keeps the planner to the indexes until the transaction ends: what it knows of the tables may be from
/// a time when they were empty.
fn by_index(postgres: &mut PgConnection) -> QueryResult<()> {
    postgres.batch_execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
}

/// Turns the rows of a search over up to `partners` partners into what it has found. A partner without
/// anything has one row.
fn found(rows: Vec<PendingRow>, partners: i64) -> Found<DueRow> {
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

/// Endpoints with pending deliveries that nobody has leased, of the partners behind one.
pub(crate) fn endpoints(
    connection: &mut AnyConnection,
    now: i64,
    (after, partners): (&str, i64),
) -> QueryResult<Found<DueRow>> {
    let rows = match connection {
        AnyConnection::Postgres(postgres) => {
            by_index(postgres)?;
            diesel::sql_query(
                "WITH RECURSIVE pending (partner_id, n) AS (
                   (SELECT partner_id, 1 FROM webhook_deliveries
                    WHERE due_at IS NOT NULL AND partner_id > $1 ORDER BY partner_id LIMIT 1)
                   UNION ALL
                   SELECT (SELECT d.partner_id FROM webhook_deliveries d
                           WHERE d.due_at IS NOT NULL AND d.partner_id > p.partner_id
                           ORDER BY d.partner_id LIMIT 1), p.n + 1
                   FROM pending p WHERE p.partner_id IS NOT NULL AND p.n < $2)
                 SELECT p.partner_id, e.id,
                        (SELECT d.due_at FROM webhook_deliveries d
                         WHERE d.endpoint_id = e.id AND d.due_at IS NOT NULL
                         ORDER BY d.due_at LIMIT 1) AS due_at
                 FROM pending p
                 LEFT JOIN webhook_endpoints e ON e.partner_id = p.partner_id
                   AND e.deleted_at IS NULL AND (e.hold_until IS NULL OR e.hold_until <= $3)
                 WHERE p.partner_id IS NOT NULL ORDER BY p.partner_id, e.id",
            )
            .bind::<Text, _>(after)
            .bind::<BigInt, _>(partners)
            .bind::<BigInt, _>(now)
            .load(postgres)?
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut rows = Vec::new();
            let mut after = after.to_owned();
            for _ in 0..partners {
                let Some(partner_id) = next_partner_with_deliveries(sqlite, &after)? else {
                    break;
                };
                endpoints_on_sqlite(sqlite, now, &partner_id, &mut rows)?;
                after = partner_id;
            }
            rows
        }
    };
    Ok(found(rows, partners))
}

fn next_partner_with_deliveries(
    sqlite: &mut SqliteConnection,
    after: &str,
) -> QueryResult<Option<String>> {
    let next = deliveries::table
        .filter(deliveries::due_at.is_not_null())
        .filter(deliveries::partner_id.gt(after))
        .order(deliveries::partner_id)
        .limit(1)
        .select(deliveries::partner_id);
    Same(next).load(sqlite).map(|mut found| found.pop())
}

fn endpoints_on_sqlite(
    sqlite: &mut SqliteConnection,
    now: i64,
    partner_id: &str,
    rows: &mut Vec<PendingRow>,
) -> QueryResult<()> {
    let free = endpoints::table
        .filter(endpoints::partner_id.eq(partner_id))
        .filter(endpoints::deleted_at.is_null())
        .filter(
            endpoints::hold_until
                .is_null()
                .or(endpoints::hold_until.le(now)),
        )
        .order(endpoints::id)
        .select(endpoints::id);
    let free: Vec<String> = Same(free).load(sqlite)?;
    let row = |id, due_at| PendingRow {
        partner_id: partner_id.to_owned(),
        id,
        due_at,
    };
    if free.is_empty() {
        rows.push(row(None, None));
    }
    for id in free {
        let first = deliveries::table
            .filter(deliveries::endpoint_id.eq(&id))
            .filter(deliveries::due_at.is_not_null())
            .order(deliveries::due_at)
            .limit(1)
            .select(deliveries::due_at);
        let mut first: Vec<Option<i64>> = Same(first).load(sqlite)?;
        rows.push(row(Some(id), first.pop().flatten()));
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many deliveries are pending, counted up to a limit.
pub(crate) fn pending_count(connection: &mut AnyConnection, limit: i64) -> QueryResult<i64> {
    count(
        connection,
        "SELECT count(*) AS count FROM (SELECT 1 FROM webhook_deliveries \
         WHERE due_at IS NOT NULL LIMIT $1) AS pending",
        &[limit],
    )
}

/// How many deliveries to an endpoint are pending, counted up to a limit.
pub(crate) fn pending_to(
    connection: &mut AnyConnection,
    endpoint: &str,
    limit: i64,
) -> QueryResult<i64> {
    let text = "SELECT count(*) AS count FROM (SELECT 1 FROM webhook_deliveries \
                WHERE endpoint_id = $1 AND due_at IS NOT NULL LIMIT $2) AS pending";
    let counted: Counted = match connection {
        AnyConnection::Postgres(postgres) => diesel::sql_query(text)
            .bind::<Text, _>(endpoint)
            .bind::<BigInt, _>(limit)
            .get_result(postgres)?,
        AnyConnection::Sqlite(sqlite) => diesel::sql_query(text)
            .bind::<Text, _>(endpoint)
            .bind::<BigInt, _>(limit)
            .get_result(sqlite)?,
    };
    Ok(counted.count)
}

/// How many orgs are due that nobody has leased, counted up to a limit.
pub(crate) fn orgs_count(connection: &mut AnyConnection, now: i64, limit: i64) -> QueryResult<i64> {
    count(
        connection,
        "SELECT count(*) AS count FROM (SELECT 1 FROM orgs \
         WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $2) \
         ORDER BY due_at LIMIT $3) AS due",
        &[now, now, limit],
    )
}

fn count(connection: &mut AnyConnection, text: &str, values: &[i64]) -> QueryResult<i64> {
    let counted: Counted = match connection {
        AnyConnection::Postgres(postgres) => {
            let mut question = diesel::sql_query(text).into_boxed();
            for value in values {
                question = question.bind::<BigInt, _>(*value);
            }
            question.get_result(postgres)?
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut question = diesel::sql_query(text).into_boxed();
            for value in values {
                question = question.bind::<BigInt, _>(*value);
            }
            question.get_result(sqlite)?
        }
    };
    Ok(counted.count)
}

/// Orgs that wait for a time, found by an index that begins with the partner and that time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrgQueue {
    /// What is true of those orgs, word for word as in the index.
    waiting: &'static str,
    /// The column with the time.
    at: &'static str,
    /// What else is true of those that can be taken at the time `$2`.
    free: &'static str,
}

impl OrgQueue {
    pub(crate) const PROVISIONING: Self = Self {
        waiting: "status = 'provisioning' AND due_at IS NOT NULL",
        at: "due_at",
        free: "(lease_until IS NULL OR lease_until <= $2)",
    };
    pub(crate) const DEPROVISIONING: Self = Self {
        waiting: "status = 'deprovisioning' AND due_at IS NOT NULL",
        ..Self::PROVISIONING
    };
    pub(crate) const EXPIRING: Self = Self {
        waiting: "expires_at IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted'",
        at: "expires_at",
        free: "true",
    };
}

/// The partners behind one that have orgs in a queue, each with the time of its first, whoever has leased
/// that.
pub(crate) fn org_partners(
    connection: &mut AnyConnection,
    queue: OrgQueue,
    (after, partners): (&str, i64),
) -> QueryResult<Found<(String, i64)>> {
    let OrgQueue { waiting, at, .. } = queue;
    let rows: Vec<PendingRow> = match connection {
        AnyConnection::Postgres(postgres) => {
            by_index(postgres)?;
            diesel::sql_query(format!(
                "WITH RECURSIVE pending (partner_id, n) AS (
                   (SELECT partner_id, 1 FROM orgs WHERE {waiting} AND partner_id > $1
                    ORDER BY partner_id LIMIT 1)
                   UNION ALL
                   SELECT (SELECT orgs.partner_id FROM orgs
                           WHERE {waiting} AND orgs.partner_id > p.partner_id
                           ORDER BY orgs.partner_id LIMIT 1), p.n + 1
                   FROM pending p WHERE p.partner_id IS NOT NULL AND p.n < $2)
                 SELECT p.partner_id, ''::text AS id,
                        (SELECT {at} FROM orgs
                         WHERE {waiting} AND orgs.partner_id = p.partner_id
                         ORDER BY {at} LIMIT 1) AS due_at
                 FROM pending p WHERE p.partner_id IS NOT NULL ORDER BY p.partner_id"
            ))
            .bind::<Text, _>(after)
            .bind::<BigInt, _>(partners)
            .load(postgres)?
        }
        AnyConnection::Sqlite(sqlite) => {
            let text = format!(
                "SELECT partner_id, '' AS id, {at} AS due_at FROM orgs
                 WHERE {waiting} AND partner_id > $1 ORDER BY partner_id, {at} LIMIT 1"
            );
            let mut rows: Vec<PendingRow> = Vec::new();
            for _ in 0..partners {
                let after = rows.last().map_or(after, |row| &row.partner_id);
                let next = diesel::sql_query(&text).bind::<Text, _>(after);
                let Some(next) = Same(next).load(sqlite)?.pop() else {
                    break;
                };
                rows.push(next);
            }
            rows
        }
    };
    let Found { rows, after } = found(rows, partners);
    let rows = rows.into_iter().map(|(partner, _, due)| (partner, due));
    Ok(Found {
        rows: rows.collect(),
        after,
    })
}

/// The first orgs in a queue whose time has come and that can be taken, up to so many of each of these
/// partners.
pub(crate) fn orgs_of(
    connection: &mut AnyConnection,
    (queue, partners): (OrgQueue, &[String]),
    now: i64,
    each: i64,
) -> QueryResult<Vec<DueRow>> {
    let OrgQueue { waiting, at, free } = queue;
    let rows: Vec<PendingRow> = match connection {
        AnyConnection::Postgres(postgres) => diesel::sql_query(format!(
            "SELECT p.id AS partner_id, o.id, o.at AS due_at FROM unnest($1) AS p (id)
             CROSS JOIN LATERAL (
               SELECT id, {at} AS at FROM orgs
               WHERE {waiting} AND partner_id = p.id AND {at} <= $2 AND {free}
               ORDER BY {at} LIMIT $3) AS o
             ORDER BY p.id, o.at"
        ))
        .bind::<Array<Text>, _>(partners)
        .bind::<BigInt, _>(now)
        .bind::<BigInt, _>(each)
        .load(postgres)?,
        AnyConnection::Sqlite(sqlite) => {
            let text = format!(
                "SELECT partner_id, id, {at} AS due_at FROM orgs
                 WHERE {waiting} AND partner_id = $1 AND {at} <= $2 AND {free}
                 ORDER BY {at} LIMIT $3"
            );
            let mut rows = Vec::new();
            for partner in partners {
                let due = diesel::sql_query(&text)
                    .bind::<Text, _>(partner)
                    .bind::<BigInt, _>(now)
                    .bind::<BigInt, _>(each);
                rows.append(&mut Same(due).load(sqlite)?);
            }
            rows
        }
    };
    Ok(found(rows, i64::MAX).rows)
}

/// Those of these orgs that are due and that nobody has leased. On PostgreSQL they are locked, and those
/// that another transaction has locked are left out.
pub(crate) fn orgs_free(
    connection: &mut AnyConnection,
    ids: &[String],
    now: i64,
) -> QueryResult<Vec<String>> {
    let free = orgs::table
        .filter(orgs::due_at.le(now))
        .filter(orgs::lease_until.is_null().or(orgs::lease_until.le(now)))
        .select(orgs::id);
    match connection {
        AnyConnection::Postgres(postgres) => {
            let these = free.filter(orgs::id.eq_any(ids)).order(orgs::id);
            Same(these.for_no_key_update().skip_locked()).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut all = Vec::with_capacity(ids.len());
            for id in ids {
                all.append(&mut Fixed(free.filter(orgs::id.eq(id))).load(sqlite)?);
            }
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests;
