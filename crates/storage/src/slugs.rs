//! Who has which slug, and since when a slug is free.

use diesel::prelude::*;
use ids::OrgId;
use orgs::SlugRequest;
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect::{self, same},
    schema::{orgs as table, slugs},
    session::{Session, Writing},
    values,
};

#[derive(Insertable)]
#[diesel(table_name = slugs)]
pub(crate) struct SlugRow {
    pub(crate) slug: String,
    pub(crate) org_id: String,
    pub(crate) partner_id: String,
}

/// Gives slugs to orgs, the first claim to each; which of the claims were granted.
pub(crate) fn claim(
    session: &mut Session<Writing>,
    claims: &[SlugRequest],
) -> Result<Vec<bool>, StoreError> {
    let rows: Vec<SlugRow> = claims
        .iter()
        .map(|claim| SlugRow {
            slug: claim.slug.to_string(),
            org_id: claim.org.to_string(),
            partner_id: claim.partner.to_string(),
        })
        .collect();
    let mut granted = session.run(|connection| dialect::many::slugs_insert(connection, &rows))?;
    let mut rest: Vec<_> = granted
        .iter_mut()
        .zip(rows.iter().zip(claims))
        .filter(|(granted, _)| !**granted)
        .collect();
    // Whoever takes several takes them in the same order, so that nobody waits in a circle. Of claims
    // to one slug the first stays the first.
    rest.sort_by_key(|(_, (row, _))| row.slug.as_str());
    for (granted, (row, claim)) in rest {
        *granted = take_over(session, row, claim.held_since)?;
    }
    Ok(granted)
}

/// Takes a slug that was freed, if it can be had.
fn take_over(
    session: &mut Session<Writing>,
    row: &SlugRow,
    held_since: OffsetDateTime,
) -> Result<bool, StoreError> {
    // Of two who claim it at once, the second waits here for the first and then finds its condition
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
        same::change(connection, taken)
    })?;
    Ok(rows > 0)
}

pub(crate) fn free(
    session: &mut Session<Writing>,
    org: OrgId,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let id = org.to_string();
    let slug: Option<String> = session.run(|connection| {
        let its = table::table.find(&id).select(table::slug);
        same::ask_one(connection, its)
    })?;
    let Some(slug) = slug else {
        return Ok(());
    };
    // The org keeps its slug as a record when another one has it.
    let held = slugs::table
        .find(slug)
        .filter(slugs::org_id.eq(&id))
        .filter(slugs::freed_at.is_null());
    session.run(|connection| {
        let freed = diesel::update(held).set(slugs::freed_at.eq(values::micros(at)));
        same::change(connection, freed)
    })?;
    Ok(())
}
