//! Which org has which slug, and since when a slug is free.

use std::collections::HashSet;

use diesel::{QueryResult, prelude::*};
use ids::{OrgId, PartnerId};
use orgs::{Slug, SlugRequest, SlugStore};
use stores::StoreError;
use time::OffsetDateTime;

use super::row::orgs as table;
use crate::{
    connection::{
        AnyConnection,
        bulk::{self, BulkInsert, BulkRow as _, Rows, bulk_row},
        prepared,
    },
    session::{Session, Writing},
    tables::values,
};

diesel::table! {
    slugs (slug) {
        slug -> Text,
        org_id -> Text,
        partner_id -> Text,
        freed_at -> Nullable<BigInt>,
    }
}

struct SlugRow {
    slug: String,
    org_id: String,
    partner_id: String,
}

bulk_row!(SlugRow {
    slug: Text = slug,
    org_id: Text = org_id,
    partner_id: Text = partner_id,
});

impl BulkInsert for SlugRow {
    const TABLE: &'static str = "slugs";
    const ON_CONFLICT: &'static str = " ON CONFLICT (slug) DO NOTHING";
}

impl SlugStore for Session<Writing> {
    fn slug_acquire(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let request = SlugRequest {
            slug: slug.clone(),
            org,
            partner,
            held_since,
        };
        Ok(self.slugs_acquire(&[request])? == [true])
    }

    /// Gives slugs to orgs, the first request to each; which of the requests were granted.
    fn slugs_acquire(&mut self, requests: &[SlugRequest]) -> Result<Vec<bool>, StoreError> {
        let rows: Vec<SlugRow> = requests
            .iter()
            .map(|request| SlugRow {
                slug: request.slug.to_string(),
                org_id: request.org.to_string(),
                partner_id: request.partner.to_string(),
            })
            .collect();
        let mut granted = self.run(|connection| insert(connection, &rows))?;
        let mut rest: Vec<_> = granted
            .iter_mut()
            .zip(rows.iter().zip(requests))
            .filter(|(granted, _)| !**granted)
            .collect();
        // Whoever takes several takes them in the same order, so that nobody waits in a circle. Of requests
        // to one slug the first stays the first.
        rest.sort_by_key(|(_, (row, _))| row.slug.as_str());
        for (granted, (row, request)) in rest {
            *granted = take_over(self, row, request.held_since)?;
        }
        Ok(granted)
    }

    fn slug_release(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), StoreError> {
        let id = org.to_string();
        let slug: Option<String> = self.run(|connection| {
            let its = table::table.find(&id).select(table::slug);
            prepared::first_by_type(connection, its)
        })?;
        let Some(slug) = slug else {
            return Ok(());
        };
        // The org keeps its slug as a record when another one has it.
        let held = slugs::table
            .find(slug)
            .filter(slugs::org_id.eq(&id))
            .filter(slugs::freed_at.is_null());
        self.run(|connection| {
            let freed = diesel::update(held).set(slugs::freed_at.eq(values::micros(at)));
            prepared::execute(connection, freed)
        })?;
        Ok(())
    }
}

/// Adds slugs that are not there yet; which of them were added. Of rows with one slug the first is.
///
/// On PostgreSQL it waits for whoever adds the same ones at the same time.
fn insert(connection: &mut AnyConnection, rows: &[SlugRow]) -> QueryResult<Vec<bool>> {
    match connection {
        AnyConnection::Postgres(postgres) => {
            // In one order, so that two who add the same ones don't wait in a circle.
            const BEFORE: &[&str] = &[
                "INSERT INTO slugs (",
                SlugRow::COLUMNS,
                ") SELECT ",
                SlugRow::COLUMNS,
                " FROM",
            ];
            const AFTER: &[&str] = &[
                "WITH ORDINALITY AS new (",
                SlugRow::COLUMNS,
                ", place) ORDER BY slug, place ON CONFLICT (slug) DO NOTHING RETURNING org_id",
            ];
            let added: Vec<String> = Rows::of(BEFORE, rows, AFTER).load(postgres)?;
            let added: HashSet<String> = added.into_iter().collect();
            Ok(rows.iter().map(|row| added.contains(&row.org_id)).collect())
        }
        AnyConnection::Sqlite(sqlite) => rows
            .iter()
            .map(|row| Ok(bulk::insert_one(sqlite, row)? > 0))
            .collect(),
    }
}

/// Takes a slug that was freed, if it can be had.
fn take_over(
    session: &mut Session<Writing>,
    row: &SlugRow,
    held_since: OffsetDateTime,
) -> Result<bool, StoreError> {
    // Of two who want it at once, the second waits here for the first and then finds its condition
    // no longer true.
    let free = slugs::table.find(&row.slug).filter(
        slugs::freed_at.is_not_null().and(
            slugs::partner_id.eq(&row.partner_id).or(slugs::freed_at
                .lt(values::micros(held_since))
                .assume_not_null()),
        ),
    );
    let rows = session.run(|connection| {
        let taken = diesel::update(free).set((
            slugs::org_id.eq(&row.org_id),
            slugs::partner_id.eq(&row.partner_id),
            slugs::freed_at.eq(None::<i64>),
        ));
        prepared::execute(connection, taken)
    })?;
    Ok(rows > 0)
}
