//! Orgs that wait for a time, found partner by partner.

use diesel::{
    QueryResult,
    prelude::*,
    sql_types::{Array, BigInt, Text},
};

use crate::{
    connection::{AnyConnection, prepared::Prepared},
    tables::due_search::{self, DueRow, Found, PendingRow, by_index, found},
};

/// Orgs that wait for a time, found by an index that begins with the partner and that time.
#[derive(Clone, Copy, Debug)]
pub(in crate::tables) struct OrgQueue {
    /// What is true of those orgs, word for word as in the index.
    waiting: &'static str,
    /// The column with the time.
    at: &'static str,
    /// What else is true of those that can be taken at the time `$2`.
    free: &'static str,
}

impl OrgQueue {
    pub(in crate::tables) const PROVISIONING: Self = Self {
        waiting: "status = 'provisioning' AND due_at IS NOT NULL",
        at: "due_at",
        free: "(lease_until IS NULL OR lease_until <= $2)",
    };
    pub(in crate::tables) const UPDATING: Self = Self {
        waiting: "status = 'updating' AND due_at IS NOT NULL",
        ..Self::PROVISIONING
    };
    pub(in crate::tables) const DEPROVISIONING: Self = Self {
        waiting: "status = 'deprovisioning' AND due_at IS NOT NULL",
        ..Self::PROVISIONING
    };
    pub(in crate::tables) const EXPIRING: Self = Self {
        waiting: "expires_at IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted'",
        at: "expires_at",
        free: "true",
    };
}

/// The partners behind one that have orgs in a queue, each with the time of its first, whoever has leased
/// that.
pub(in crate::tables) fn partners(
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
                let Some(next) = Prepared(next).load(sqlite)?.pop() else {
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
pub(in crate::tables) fn orgs_of(
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
                rows.append(&mut Prepared(due).load(sqlite)?);
            }
            rows
        }
    };
    Ok(found(rows, i64::MAX).rows)
}

/// How many orgs are due that nobody has leased, counted up to a limit.
pub(in crate::tables) fn count(
    connection: &mut AnyConnection,
    now: i64,
    limit: i64,
) -> QueryResult<i64> {
    due_search::count(
        connection,
        "SELECT count(*) AS count FROM (SELECT 1 FROM orgs \
         WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $2) \
         ORDER BY due_at LIMIT $3) AS due",
        &[now, now, limit],
    )
}
