//! An org's row on SQLite and what comes with it, by statements whose text is not even put together: that
//! takes as long as the engine does.

use diesel::{
    QueryResult,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text},
    sqlite::Sqlite,
};

use crate::{org_work::ProgressRow, orgs::NewRow, slugs::SlugRow, workspaces::WorkspaceRow};

/// Adds an org.
pub(super) struct InsertOrg<'a>(pub(super) &'a NewRow);

/// Writes how far a worker has come with an org.
pub(super) struct UpdateOrg<'a>(pub(super) &'a ProgressRow);

/// Adds a slug unless it is there.
pub(super) struct InsertSlug<'a>(pub(super) &'a SlugRow);

/// Adds a workspace unless its org has one of its slug.
pub(super) struct InsertWorkspace<'a>(pub(super) &'a WorkspaceRow);

/// A value and what stands behind it.
fn text<'b>(out: &mut AstPass<'_, 'b, Sqlite>, value: &'b String, then: &str) -> QueryResult<()> {
    out.push_bind_param::<Text, _>(value)?;
    out.push_sql(then);
    Ok(())
}

fn optional_text<'b>(
    out: &mut AstPass<'_, 'b, Sqlite>,
    value: &'b Option<String>,
    then: &str,
) -> QueryResult<()> {
    out.push_bind_param::<Nullable<Text>, _>(value)?;
    out.push_sql(then);
    Ok(())
}

fn number<'b>(out: &mut AstPass<'_, 'b, Sqlite>, value: &'b i64, then: &str) -> QueryResult<()> {
    out.push_bind_param::<BigInt, _>(value)?;
    out.push_sql(then);
    Ok(())
}

fn optional_number<'b>(
    out: &mut AstPass<'_, 'b, Sqlite>,
    value: &'b Option<i64>,
    then: &str,
) -> QueryResult<()> {
    out.push_bind_param::<Nullable<BigInt>, _>(value)?;
    out.push_sql(then);
    Ok(())
}

fn flag<'b>(out: &mut AstPass<'_, 'b, Sqlite>, value: &'b bool, then: &str) -> QueryResult<()> {
    out.push_bind_param::<Bool, _>(value)?;
    out.push_sql(then);
    Ok(())
}

impl QueryFragment<Sqlite> for InsertOrg<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(new) = self;
        let (out, org, subscription) = (&mut out, &new.org, &new.subscription);
        out.push_sql(
            "INSERT INTO orgs (id, partner_id, created_by_key_id, name, slug, plan, status, \
             external_id, labels, created_at, updated_at, ready_at, deleted_at, failure_code, \
             failure_message, attempts, due_at, lease_token, lease_until, expires_at, steps, \
             subscription_status, subscription_start, subscription_end, subscription_cancel_at, \
             end_to_announce) \
             VALUES (",
        );
        text(out, &org.id, ", ")?;
        text(out, &org.partner_id, ", ")?;
        text(out, &org.created_by_key_id, ", ")?;
        text(out, &org.name, ", ")?;
        text(out, &org.slug, ", ")?;
        text(out, &org.plan, ", ")?;
        text(out, &org.status, ", ")?;
        optional_text(out, &org.external_id, ", ")?;
        text(out, &org.labels, ", ")?;
        number(out, &org.created_at, ", ")?;
        number(out, &org.updated_at, ", ")?;
        optional_number(out, &org.ready_at, ", ")?;
        optional_number(out, &org.deleted_at, ", ")?;
        optional_text(out, &org.failure_code, ", ")?;
        optional_text(out, &org.failure_message, ", ")?;
        number(out, &org.attempts, ", ")?;
        number(out, &org.created_at, ", ")?;
        optional_text(out, &new.lease_token, ", ")?;
        optional_number(out, &new.lease_until, ", ")?;
        optional_number(out, &org.expires_at, ", ")?;
        text(out, &new.steps, ", ")?;
        optional_text(out, &subscription.subscription_status, ", ")?;
        optional_number(out, &subscription.subscription_start, ", ")?;
        optional_number(out, &subscription.subscription_end, ", ")?;
        optional_number(out, &subscription.subscription_cancel_at, ", ")?;
        optional_number(out, &org.expires_at, ")")
    }
}

impl QueryFragment<Sqlite> for UpdateOrg<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(row) = self;
        let (out, org) = (&mut out, &row.org);
        out.push_sql("UPDATE orgs SET name = ");
        text(out, &org.name, ", plan = ")?;
        text(out, &org.plan, ", status = ")?;
        text(out, &org.status, ", updated_at = ")?;
        number(out, &org.updated_at, ", ready_at = ")?;
        optional_number(out, &org.ready_at, ", deleted_at = ")?;
        optional_number(out, &org.deleted_at, ", failure_code = ")?;
        optional_text(out, &org.failure_code, ", failure_message = ")?;
        optional_text(out, &org.failure_message, ", attempts = ")?;
        number(out, &org.attempts, ", due_at = ")?;
        optional_number(out, &row.due_at, ", steps = ")?;
        text(out, &row.steps, ", lease_token = CASE ")?;
        flag(out, &row.keep, " WHEN 1 THEN lease_token ELSE ")?;
        optional_text(out, &row.lease_token, " END, lease_until = CASE ")?;
        flag(out, &row.keep, " WHEN 1 THEN lease_until ELSE ")?;
        optional_number(out, &row.lease_until, " END, subscription_status = CASE ")?;
        flag(
            out,
            &row.cancel,
            " WHEN 1 THEN CASE WHEN subscription_status IS NOT NULL THEN 'canceled' END \
             ELSE subscription_status END WHERE id = ",
        )?;
        text(out, &org.id, "")
    }
}

impl QueryFragment<Sqlite> for InsertSlug<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(row) = self;
        let out = &mut out;
        out.push_sql("INSERT INTO slugs (slug, org_id, partner_id) VALUES (");
        text(out, &row.slug, ", ")?;
        text(out, &row.org_id, ", ")?;
        text(out, &row.partner_id, ") ON CONFLICT (slug) DO NOTHING")
    }
}

impl QueryFragment<Sqlite> for InsertWorkspace<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let Self(row) = self;
        let out = &mut out;
        out.push_sql("INSERT INTO workspaces (id, org_id, name, slug, created_at) VALUES (");
        text(out, &row.id, ", ")?;
        text(out, &row.org_id, ", ")?;
        text(out, &row.name, ", ")?;
        text(out, &row.slug, ", ")?;
        number(
            out,
            &row.created_at,
            ") ON CONFLICT (org_id, slug) DO NOTHING",
        )
    }
}

/// One text for all values.
macro_rules! one_text {
    ($($statement:ident)+) => {$(
        impl QueryId for $statement<'_> {
            type QueryId = $statement<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl RunQueryDsl<SqliteConnection> for $statement<'_> {}
    )+};
}

one_text!(InsertOrg UpdateOrg InsertSlug InsertWorkspace);
