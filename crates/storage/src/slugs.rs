//! Who has which slug, and since when a slug is free.

use diesel::prelude::*;
use ids::{OrgId, PartnerId};
use orgs::Slug;
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect,
    schema::slugs,
    session::{Session, Writing},
    values,
};

#[derive(Insertable)]
#[diesel(table_name = slugs)]
pub(crate) struct SlugRow {
    slug: String,
    org_id: String,
    partner_id: String,
}

pub(crate) fn claim(
    session: &mut Session<Writing>,
    slug: &Slug,
    org: OrgId,
    partner: PartnerId,
    held_since: OffsetDateTime,
) -> Result<bool, StoreError> {
    let row = SlugRow {
        slug: slug.to_string(),
        org_id: org.to_string(),
        partner_id: partner.to_string(),
    };
    if session.run(|connection| dialect::slug_insert(connection, &row))? {
        return Ok(true);
    }
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
        diesel::update(free)
            .set((
                slugs::org_id.eq(&row.org_id),
                slugs::partner_id.eq(&row.partner_id),
                slugs::freed_at.eq(None::<i64>),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

pub(crate) fn free(
    session: &mut Session<Writing>,
    org: OrgId,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let held = slugs::table
        .filter(slugs::org_id.eq(org.to_string()))
        .filter(slugs::freed_at.is_null());
    session.run(|connection| {
        diesel::update(held)
            .set(slugs::freed_at.eq(values::micros(at)))
            .execute(connection)
    })?;
    Ok(())
}
