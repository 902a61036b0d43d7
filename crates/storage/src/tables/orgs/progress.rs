//! The rows of orgs that are worked on, several at a time.

use std::collections::HashMap;

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text},
    sqlite::Sqlite,
};
use orgs::{Org, OrgProgress, OrgWork};
use stores::StoreError;

use super::{
    row::{OrgRow, ProgressRow, orgs as table},
    steps,
};
use crate::{
    connection::{
        AnyConnection,
        bulk::{BulkRow as _, BulkUpdate as _, Rows},
        prepared::{self, Prepared, PreparedByType},
    },
    tables::values,
};

/// What stands in an org's row for a worker: the org, its steps, who holds it, and when it is due.
pub(super) type WorkRow = (OrgRow, String, Option<String>, Option<i64>);

pub(super) fn work((org, text, _, _): WorkRow) -> Result<OrgWork, StoreError> {
    Ok(OrgWork {
        org: Org::try_from(org)?,
        steps: steps::parse(&text)?,
    })
}

/// An org that is taken as it was found.
pub(super) fn taken(row: WorkRow) -> Result<OrgProgress, StoreError> {
    let due_at = values::optional_time(row.3, "the time at which an org is due")?;
    Ok(OrgProgress {
        work: work(row)?,
        due_at,
        release: false,
        cancel: false,
    })
}

/// The rows of these orgs, in their order; one that is named twice comes twice.
pub(super) fn in_order(rows: Vec<WorkRow>, ids: &[String]) -> Vec<Option<WorkRow>> {
    let rows: HashMap<String, WorkRow> = rows
        .into_iter()
        .map(|row| (row.0.id.clone(), row))
        .collect();
    ids.iter().map(|id| rows.get(id).cloned()).collect()
}

/// The rows of orgs, in no order.
pub(super) fn load(connection: &mut AnyConnection, ids: &[String]) -> QueryResult<Vec<WorkRow>> {
    let columns = (
        prepared::columns::<OrgRow>(),
        table::steps,
        table::lease_token,
        table::due_at,
    );
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all = table::table.filter(table::id.eq_any(ids)).select(columns);
            Prepared(all).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => {
            let mut all = Vec::with_capacity(ids.len());
            for id in ids {
                let one = PreparedByType(table::table.find(id).select(columns));
                all.append(&mut one.load(sqlite)?);
            }
            Ok(all)
        }
    }
}

/// The same, each locked until the transaction ends.
pub(super) fn lock(connection: &mut AnyConnection, ids: &[String]) -> QueryResult<Vec<WorkRow>> {
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all = table::table
                .filter(table::id.eq_any(ids))
                .order(table::id)
                .select((
                    prepared::columns::<OrgRow>(),
                    table::steps,
                    table::lease_token,
                    table::due_at,
                ))
                .for_no_key_update();
            Prepared(all).load(postgres)
        }
        AnyConnection::Sqlite(_) => load(connection, ids),
    }
}

/// Writes the progress of workers.
pub(super) fn write(connection: &mut AnyConnection, rows: &[ProgressRow]) -> QueryResult<()> {
    const BEFORE: &[&str] = &[
        "UPDATE orgs SET ",
        ProgressRow::ASSIGNMENTS,
        "lease_token = CASE WHEN new.keep THEN orgs.lease_token ELSE new.lease_token END, \
         lease_until = CASE WHEN new.keep THEN orgs.lease_until ELSE new.lease_until END, \
         subscription_status = CASE WHEN new.cancel AND orgs.subscription_status IS NOT NULL \
         THEN 'canceled' ELSE orgs.subscription_status END FROM",
    ];
    const AFTER: &[&str] = &["AS new (", ProgressRow::COLUMNS, ") WHERE orgs.id = new.id"];
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(postgres) => {
            Rows::of(BEFORE, rows, AFTER).execute(postgres).map(drop)
        }
        AnyConnection::Sqlite(sqlite) => rows
            .iter()
            .try_for_each(|row| Update(row).execute(sqlite).map(drop)),
    }
}

/// Writes one on SQLite.
struct Update<'a>(&'a ProgressRow);

impl QueryFragment<Sqlite> for Update<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(row) = self;
        out.push_sql("UPDATE orgs SET ");
        row.push_assignments(&mut out)?;
        out.push_sql("lease_token = CASE ");
        out.push_bind_param::<Bool, _>(&row.keep)?;
        out.push_sql(" WHEN 1 THEN lease_token ELSE ");
        out.push_bind_param::<Nullable<Text>, _>(&row.lease_token)?;
        out.push_sql(" END, lease_until = CASE ");
        out.push_bind_param::<Bool, _>(&row.keep)?;
        out.push_sql(" WHEN 1 THEN lease_until ELSE ");
        out.push_bind_param::<Nullable<BigInt>, _>(&row.lease_until)?;
        out.push_sql(" END, subscription_status = CASE ");
        out.push_bind_param::<Bool, _>(&row.cancel)?;
        out.push_sql(
            " WHEN 1 THEN CASE WHEN subscription_status IS NOT NULL THEN 'canceled' END \
             ELSE subscription_status END WHERE id = ",
        );
        out.push_bind_param::<Text, _>(&row.org.id)
    }
}

// One text for all values.
impl QueryId for Update<'_> {
    type QueryId = Update<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Update<'_> {}
