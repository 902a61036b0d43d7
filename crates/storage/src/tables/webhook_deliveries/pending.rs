//! Endpoints with pending deliveries, found partner by partner.

use diesel::{
    QueryResult, SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::row::webhook_deliveries as deliveries;
use crate::{
    connection::{AnyConnection, on_both, prepared::Prepared},
    tables::{
        due_search::{self, Counted, DueRow, Found, PendingRow, by_index, found},
        webhook_endpoints::webhook_endpoints as endpoints,
    },
};

/// Endpoints with pending deliveries that nobody has leased, of the partners behind one.
pub(in crate::tables) fn endpoints(
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
    Prepared(next).load(sqlite).map(|mut found| found.pop())
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
    let free: Vec<String> = Prepared(free).load(sqlite)?;
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
        let mut first: Vec<Option<i64>> = Prepared(first).load(sqlite)?;
        rows.push(row(Some(id), first.pop().flatten()));
    }
    Ok(())
}

/// How many deliveries are pending, counted up to a limit.
pub(in crate::tables) fn count(connection: &mut AnyConnection, limit: i64) -> QueryResult<i64> {
    due_search::count(
        connection,
        "SELECT count(*) AS count FROM (SELECT 1 FROM webhook_deliveries \
         WHERE due_at IS NOT NULL LIMIT $1) AS pending",
        &[limit],
    )
}

/// How many deliveries to an endpoint are pending, counted up to a limit.
pub(in crate::tables) fn count_to(
    connection: &mut AnyConnection,
    endpoint: &str,
    limit: i64,
) -> QueryResult<i64> {
    let text = "SELECT count(*) AS count FROM (SELECT 1 FROM webhook_deliveries \
                WHERE endpoint_id = $1 AND due_at IS NOT NULL LIMIT $2) AS pending";
    let counted: Counted = on_both!(connection, |inner| diesel::sql_query(text)
        .bind::<Text, _>(endpoint)
        .bind::<BigInt, _>(limit)
        .get_result(inner)?);
    Ok(counted.count)
}
