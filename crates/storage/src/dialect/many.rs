//! Many rows in few statements: on PostgreSQL one for all of them, its values given as one array for
//! each column; on SQLite one prepared statement again and again.
//!
//! The texts of the statements are the same however many rows there are, so that they stay prepared.

use std::collections::HashSet;

use diesel::{
    QueryResult,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Nullable, Text},
};
use ids::KeyId;

use super::{
    org_row::{InsertOrg, InsertSlug, UpdateOrg},
    same::{self, Fixed, Same},
};
use crate::{
    connection::{AnyConnection, PgConnection},
    keys::KeyRow,
    org_work::{ProgressRow, WorkRow},
    orgs::{NewRow, OrgRow},
    partners::PartnerRow,
    schema::{orgs, partner_keys, partners, webhook_endpoints},
    slugs::SlugRow,
    workspaces::WorkspaceRow,
};

/// One column of all rows.
enum Column<'a> {
    Text(Vec<&'a str>),
    OptionalText(Vec<Option<&'a str>>),
    Number(Vec<i64>),
    OptionalNumber(Vec<Option<i64>>),
    Flag(Vec<bool>),
}

/// A statement around the rows that are made of these columns.
struct Rows<'a> {
    before: &'static str,
    columns: Vec<Column<'a>>,
    after: &'static str,
}

impl QueryFragment<Pg> for Rows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.before);
        out.push_sql(" unnest(");
        for (n, column) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push_sql(", ");
            }
            match column {
                Column::Text(all) => out.push_bind_param::<Array<Text>, _>(all)?,
                Column::OptionalText(all) => {
                    out.push_bind_param::<Array<Nullable<Text>>, _>(all)?
                }
                Column::Number(all) => out.push_bind_param::<Array<BigInt>, _>(all)?,
                Column::OptionalNumber(all) => {
                    out.push_bind_param::<Array<Nullable<BigInt>>, _>(all)?;
                }
                Column::Flag(all) => out.push_bind_param::<Array<Bool>, _>(all)?,
            }
        }
        out.push_sql(") ");
        out.push_sql(self.after);
        Ok(())
    }
}

// It is kept prepared under its text, which `before` and `after` and the number of columns make.
impl QueryId for Rows<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// What such a statement answers with: ids.
impl Query for Rows<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<PgConnection> for Rows<'_> {}

fn texts<R>(rows: &[R], value: impl Fn(&R) -> &str) -> Column<'_> {
    Column::Text(rows.iter().map(value).collect())
}

fn optional_texts<R>(rows: &[R], value: impl Fn(&R) -> Option<&str>) -> Column<'_> {
    Column::OptionalText(rows.iter().map(value).collect())
}

fn numbers<R>(rows: &[R], value: impl Fn(&R) -> i64) -> Column<'_> {
    Column::Number(rows.iter().map(value).collect())
}

fn optional_numbers<R>(rows: &[R], value: impl Fn(&R) -> Option<i64>) -> Column<'_> {
    Column::OptionalNumber(rows.iter().map(value).collect())
}

fn flags<R>(rows: &[R], value: impl Fn(&R) -> bool) -> Column<'_> {
    Column::Flag(rows.iter().map(value).collect())
}

/// Keys and their partners, held against every change until the transaction ends, while others hold
/// them in this way too; in no order. None on SQLite, where nobody else changes anything meanwhile.
pub(crate) fn keys_held(
    connection: &mut AnyConnection,
    ids: &[KeyId],
) -> QueryResult<Option<Vec<(KeyRow, PartnerRow)>>> {
    match connection {
        // As an insertion that refers to them holds them, so the partners are held a little sooner
        // than they would be.
        AnyConnection::Postgres(postgres) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let keys = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::id.eq_any(ids))
                .order(partner_keys::id)
                .select((same::columns::<KeyRow>(), same::columns::<PartnerRow>()))
                .for_key_share();
            Same(keys).load(postgres).map(Some)
        }
        AnyConnection::Sqlite(_) => Ok(None),
    }
}

/// The endpoints of partners that take messages, and the events that they listen to, sorted by id.
pub(crate) fn endpoints_of(
    connection: &mut AnyConnection,
    partners: &[String],
) -> QueryResult<Vec<(String, String, String)>> {
    let columns = (
        webhook_endpoints::partner_id,
        webhook_endpoints::id,
        webhook_endpoints::events,
    );
    let live = webhook_endpoints::table
        .filter(webhook_endpoints::deleted_at.is_null())
        .filter(webhook_endpoints::disabled_at.is_null())
        .order(webhook_endpoints::id)
        .select(columns);
    match connection {
        AnyConnection::Postgres(postgres) => {
            Same(live.filter(webhook_endpoints::partner_id.eq_any(partners))).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => one_by_one(partners, |partner| {
            Fixed(live.filter(webhook_endpoints::partner_id.eq(partner))).load(sqlite)
        }),
    }
}

/// Adds slugs that are not there yet; which of them were added. Of rows with one slug the first is.
///
/// On PostgreSQL it waits for whoever adds the same ones at the same time.
pub(crate) fn slugs_insert(
    connection: &mut AnyConnection,
    rows: &[SlugRow],
) -> QueryResult<Vec<bool>> {
    match connection {
        AnyConnection::Postgres(postgres) => {
            let added: Vec<String> = Rows {
                before: "INSERT INTO slugs (slug, org_id, partner_id) \
                         SELECT slug, org_id, partner_id FROM",
                columns: vec![
                    texts(rows, |row| &row.slug),
                    texts(rows, |row| &row.org_id),
                    texts(rows, |row| &row.partner_id),
                ],
                // In one order, so that two who add the same ones don't wait in a circle.
                after: "WITH ORDINALITY AS new (slug, org_id, partner_id, place) \
                        ORDER BY slug, place ON CONFLICT (slug) DO NOTHING RETURNING org_id",
            }
            .load(postgres)?;
            let added: HashSet<String> = added.into_iter().collect();
            Ok(rows.iter().map(|row| added.contains(&row.org_id)).collect())
        }
        AnyConnection::Sqlite(sqlite) => rows
            .iter()
            .map(|row| Ok(InsertSlug(row).execute(sqlite)? > 0))
            .collect(),
    }
}

/// Adds orgs with their subscriptions.
pub(crate) fn orgs_insert(connection: &mut AnyConnection, rows: &[NewRow]) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => orgs_insert_on_postgres(postgres, rows),
        AnyConnection::Sqlite(sqlite) => rows
            .iter()
            .try_for_each(|row| InsertOrg(row).execute(sqlite).map(drop)),
    }
}

fn orgs_insert_on_postgres(postgres: &mut PgConnection, rows: &[NewRow]) -> QueryResult<()> {
    Rows {
        before: "INSERT INTO orgs (id, partner_id, created_by_key_id, name, slug, plan, status, \
                 external_id, labels, created_at, updated_at, ready_at, deleted_at, failure_code, \
                 failure_message, attempts, due_at, lease_token, lease_until, expires_at, steps, \
                 subscription_status, subscription_start, subscription_end, \
                 subscription_cancel_at, end_to_announce) SELECT * FROM",
        columns: vec![
            texts(rows, |row| &row.org.id),
            texts(rows, |row| &row.org.partner_id),
            texts(rows, |row| &row.org.created_by_key_id),
            texts(rows, |row| &row.org.name),
            texts(rows, |row| &row.org.slug),
            texts(rows, |row| &row.org.plan),
            texts(rows, |row| &row.org.status),
            optional_texts(rows, |row| row.org.external_id.as_deref()),
            texts(rows, |row| &row.org.labels),
            numbers(rows, |row| row.org.created_at),
            numbers(rows, |row| row.org.updated_at),
            optional_numbers(rows, |row| row.org.ready_at),
            optional_numbers(rows, |row| row.org.deleted_at),
            optional_texts(rows, |row| row.org.failure_code.as_deref()),
            optional_texts(rows, |row| row.org.failure_message.as_deref()),
            numbers(rows, |row| row.org.attempts),
            numbers(rows, |row| row.org.created_at),
            optional_texts(rows, |row| row.lease_token.as_deref()),
            optional_numbers(rows, |row| row.lease_until),
            optional_numbers(rows, |row| row.org.expires_at),
            texts(rows, |row| &row.steps),
            optional_texts(rows, |row| row.subscription.subscription_status.as_deref()),
            optional_numbers(rows, |row| row.subscription.subscription_start),
            optional_numbers(rows, |row| row.subscription.subscription_end),
            optional_numbers(rows, |row| row.subscription.subscription_cancel_at),
            optional_numbers(rows, |row| row.org.expires_at),
        ],
        after: "AS new (id, partner_id, created_by_key_id, name, slug, plan, status, external_id, \
                labels, created_at, updated_at, ready_at, deleted_at, failure_code, \
                failure_message, attempts, due_at, lease_token, lease_until, expires_at, steps, \
                subscription_status, subscription_start, subscription_end, \
                subscription_cancel_at, end_to_announce)",
    }
    .execute(postgres)
    .map(drop)
}

/// Adds workspaces whose orgs have none of their slugs.
pub(crate) fn workspaces_insert(
    connection: &mut AnyConnection,
    rows: &[WorkspaceRow],
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(postgres) => Rows {
            before: "INSERT INTO workspaces (id, org_id, name, slug, created_at) SELECT * FROM",
            columns: vec![
                texts(rows, |row| &row.id),
                texts(rows, |row| &row.org_id),
                texts(rows, |row| &row.name),
                texts(rows, |row| &row.slug),
                numbers(rows, |row| row.created_at),
            ],
            after: "AS new ON CONFLICT (org_id, slug) DO NOTHING",
        }
        .execute(postgres)
        .map(drop),
        AnyConnection::Sqlite(_) => rows
            .iter()
            .try_for_each(|row| super::workspace_insert(connection, row).map(drop)),
    }
}

/// The rows of orgs, in no order.
pub(crate) fn orgs_found(
    connection: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<WorkRow>> {
    let columns = (
        same::columns::<OrgRow>(),
        orgs::steps,
        orgs::lease_token,
        orgs::due_at,
    );
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all = orgs::table.filter(orgs::id.eq_any(ids)).select(columns);
            Same(all).load(postgres)
        }
        AnyConnection::Sqlite(sqlite) => one_by_one(ids, |id| {
            Fixed(orgs::table.find(id).select(columns)).load(sqlite)
        }),
    }
}

/// The same, each held until the transaction ends.
pub(crate) fn orgs_held(
    connection: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<WorkRow>> {
    match connection {
        AnyConnection::Postgres(postgres) => {
            let all = orgs::table
                .filter(orgs::id.eq_any(ids))
                .order(orgs::id)
                .select((
                    same::columns::<OrgRow>(),
                    orgs::steps,
                    orgs::lease_token,
                    orgs::due_at,
                ))
                .for_no_key_update();
            Same(all).load(postgres)
        }
        AnyConnection::Sqlite(_) => orgs_found(connection, ids),
    }
}

fn one_by_one<T>(
    ids: &[String],
    mut ask: impl FnMut(&String) -> QueryResult<Vec<T>>,
) -> QueryResult<Vec<T>> {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        all.append(&mut ask(id)?);
    }
    Ok(all)
}

/// Writes how far workers have come.
pub(crate) fn orgs_progress(
    connection: &mut AnyConnection,
    rows: &[ProgressRow],
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(postgres) => Rows {
            before: "UPDATE orgs SET name = new.name, plan = new.plan, status = new.status, \
                     updated_at = new.updated_at, ready_at = new.ready_at, \
                     deleted_at = new.deleted_at, failure_code = new.failure_code, \
                     failure_message = new.failure_message, attempts = new.attempts, \
                     due_at = new.due_at, steps = new.steps, \
                     lease_token = CASE WHEN new.keep THEN orgs.lease_token \
                     ELSE new.lease_token END, \
                     lease_until = CASE WHEN new.keep THEN orgs.lease_until \
                     ELSE new.lease_until END, \
                     subscription_status = CASE WHEN new.cancel \
                     AND orgs.subscription_status IS NOT NULL THEN 'canceled' \
                     ELSE orgs.subscription_status END FROM",
            columns: vec![
                texts(rows, |row| &row.org.id),
                texts(rows, |row| &row.org.name),
                texts(rows, |row| &row.org.plan),
                texts(rows, |row| &row.org.status),
                numbers(rows, |row| row.org.updated_at),
                optional_numbers(rows, |row| row.org.ready_at),
                optional_numbers(rows, |row| row.org.deleted_at),
                optional_texts(rows, |row| row.org.failure_code.as_deref()),
                optional_texts(rows, |row| row.org.failure_message.as_deref()),
                numbers(rows, |row| row.org.attempts),
                optional_numbers(rows, |row| row.due_at),
                texts(rows, |row| &row.steps),
                flags(rows, |row| row.keep),
                optional_texts(rows, |row| row.lease_token.as_deref()),
                optional_numbers(rows, |row| row.lease_until),
                flags(rows, |row| row.cancel),
            ],
            after: "AS new (id, name, plan, status, updated_at, ready_at, deleted_at, \
                    failure_code, failure_message, attempts, due_at, steps, keep, lease_token, \
                    lease_until, cancel) WHERE orgs.id = new.id",
        }
        .execute(postgres)
        .map(drop),
        AnyConnection::Sqlite(sqlite) => rows
            .iter()
            .try_for_each(|row| UpdateOrg(row).execute(sqlite).map(drop)),
    }
}
