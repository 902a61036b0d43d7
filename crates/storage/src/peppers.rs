//! Which pepper each stored digest was made with.

use std::collections::BTreeMap;

use diesel::{dsl::count_star, prelude::*};
use ids::{AdminKeyId, KeyId};
use keys::{KeyDigest, PepperId, PepperNotes, PepperUse};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect,
    schema::{admin_keys, meta, partner_keys},
    session::{Session, Writing},
    values,
};

/// The name of what is remembered of peppers in the table of single values: their ids, separated by
/// spaces, those that have been given up behind a minus.
const NOTES: &str = "peppers";
/// What stands before the id of a pepper that has been given up.
const GIVEN_UP: char = '-';

/// The column that says which pepper a digest was made with.
pub(crate) fn column(digest: &KeyDigest) -> Option<String> {
    digest.pepper().map(|pepper| pepper.to_string())
}

pub(crate) fn renew(
    session: &mut Session<Writing>,
    id: KeyId,
    from: &KeyDigest,
    to: &KeyDigest,
) -> Result<bool, StoreError> {
    let unchanged = partner_keys::table
        .find(id.to_string())
        .filter(partner_keys::digest.eq(from.as_bytes().as_slice()));
    let rows = session.run(|connection| {
        diesel::update(unchanged)
            .set((
                partner_keys::digest.eq(to.as_bytes().as_slice()),
                partner_keys::pepper_id.eq(column(to)),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

pub(crate) fn renew_admin(
    session: &mut Session<Writing>,
    id: AdminKeyId,
    from: &KeyDigest,
    to: &KeyDigest,
) -> Result<bool, StoreError> {
    let unchanged = admin_keys::table
        .find(id.to_string())
        .filter(admin_keys::digest.eq(from.as_bytes().as_slice()));
    let rows = session.run(|connection| {
        diesel::update(unchanged)
            .set((
                admin_keys::digest.eq(to.as_bytes().as_slice()),
                admin_keys::pepper_id.eq(column(to)),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

pub(crate) fn uses<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Vec<PepperUse>, StoreError> {
    let unexpired = partner_keys::expires_at
        .is_null()
        .or(partner_keys::expires_at
            .gt(values::micros(now))
            .assume_not_null());
    let of_partners: Vec<(Option<String>, i64)> = session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::revoked_at.is_null())
            .filter(unexpired)
            .group_by(partner_keys::pepper_id)
            .select((partner_keys::pepper_id, count_star()))
            .load(connection)
    })?;
    let of_admins: Vec<(Option<String>, i64)> = session.run(|connection| {
        admin_keys::table
            .filter(admin_keys::revoked_at.is_null())
            .group_by(admin_keys::pepper_id)
            .select((admin_keys::pepper_id, count_star()))
            .load(connection)
    })?;
    let mut counts: BTreeMap<Option<String>, (i64, i64)> = BTreeMap::new();
    for (pepper, count) in of_partners {
        counts.entry(pepper).or_default().0 += count;
    }
    for (pepper, count) in of_admins {
        counts.entry(pepper).or_default().1 += count;
    }
    counts
        .into_iter()
        .map(|(pepper, (partner_keys, admin_keys))| {
            Ok(PepperUse {
                pepper: pepper.as_deref().map(id).transpose()?,
                partner_keys: values::number(partner_keys, "a count of keys")?,
                admin_keys: values::number(admin_keys, "a count of keys")?,
            })
        })
        .collect()
}

pub(crate) fn label(session: &mut Session<Writing>, pepper: PepperId) -> Result<(), StoreError> {
    let text = pepper.to_string();
    session.run(|connection| {
        let unknown = partner_keys::table
            .filter(partner_keys::pepper_id.is_null())
            .filter(partner_keys::revoked_at.is_null());
        diesel::update(unknown)
            .set(partner_keys::pepper_id.eq(&text))
            .execute(connection)
    })?;
    session.run(|connection| {
        let unknown = admin_keys::table
            .filter(admin_keys::pepper_id.is_null())
            .filter(admin_keys::revoked_at.is_null());
        diesel::update(unknown)
            .set(admin_keys::pepper_id.eq(&text))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn notes<M>(session: &mut Session<M>) -> Result<PepperNotes, StoreError> {
    let text: Option<String> = session.run(|connection| {
        meta::table
            .find(NOTES)
            .select(meta::value)
            .first(connection)
            .optional()
    })?;
    let mut notes = PepperNotes::default();
    for word in text.as_deref().unwrap_or_default().split_whitespace() {
        match word.strip_prefix(GIVEN_UP) {
            Some(given_up) => notes.given_up.insert(id(given_up)?),
            None => notes.given.insert(id(word)?),
        };
    }
    Ok(notes)
}

pub(crate) fn replace_notes(
    session: &mut Session<Writing>,
    notes: &PepperNotes,
) -> Result<(), StoreError> {
    let given = notes.given.iter().map(ToString::to_string);
    let given_up = notes.given_up.iter().map(|id| format!("{GIVEN_UP}{id}"));
    let text = given.chain(given_up).collect::<Vec<_>>().join(" ");
    session.run(|connection| diesel::delete(meta::table.find(NOTES)).execute(connection))?;
    session.run(|connection| dialect::meta_insert(connection, NOTES, &text))?;
    Ok(())
}

fn id(text: &str) -> Result<PepperId, StoreError> {
    text.parse()
        .map_err(|_| values::corrupt("the id of a pepper"))
}
