//! The secrets of keys that were rotated.

use std::collections::HashMap;

use diesel::prelude::*;
use ids::KeyId;
use keys::{KeyDigest, KeyWithPartner, OlderSecret, PartnerKey, Rotation};
use stores::StoreError;
use time::OffsetDateTime;

use super::row::{KeyRow, partner_keys};
use crate::{
    connection::prepared,
    session::{Session, Writing},
    tables::{
        partners::{PartnerRow, partners},
        values,
    },
};

diesel::table! {
    key_rotations (key_id) {
        key_id -> Text,
        created_at -> BigInt,
        used_at -> Nullable<BigInt>,
        older_digest -> Binary,
        older_pepper_id -> Nullable<Text>,
        older_prefix -> Text,
        older_created_at -> BigInt,
        older_expires_at -> BigInt,
        older_used_at -> Nullable<BigInt>,
        finish_when_idle -> Nullable<BigInt>,
        check_at -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(key_rotations, partner_keys);
diesel::allow_tables_to_appear_in_same_query!(key_rotations, partners);

#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = key_rotations)]
#[diesel(treat_none_as_null = true)]
pub(super) struct RotationRow {
    key_id: String,
    created_at: i64,
    used_at: Option<i64>,
    older_prefix: String,
    older_created_at: i64,
    older_expires_at: i64,
    older_used_at: Option<i64>,
    finish_when_idle: Option<i64>,
}

impl RotationRow {
    /// The row of a key that was rotated.
    fn of(key: &PartnerKey) -> Result<Self, StoreError> {
        let rotation = key.rotation.as_ref();
        let rotation = rotation.ok_or(values::corrupt("the rotation of a key"))?;
        let older = &rotation.older;
        Ok(Self {
            key_id: key.id.to_string(),
            created_at: values::micros(rotation.created_at),
            used_at: rotation.last_used_at.map(values::micros),
            older_prefix: older.key_prefix.clone(),
            older_created_at: values::micros(older.created_at),
            older_expires_at: values::micros(older.expires_at),
            older_used_at: older.last_used_at.map(values::micros),
            finish_when_idle: older.finish_when_idle.map(i64::from),
        })
    }
}

impl TryFrom<RotationRow> for Rotation {
    type Error = StoreError;

    fn try_from(row: RotationRow) -> Result<Self, StoreError> {
        Ok(Self {
            created_at: values::time(row.created_at, "the time of a secret")?,
            last_used_at: values::optional_time(row.used_at, "the last use of a secret")?,
            older: OlderSecret {
                key_prefix: row.older_prefix,
                created_at: values::time(row.older_created_at, "the time of a secret")?,
                expires_at: values::time(row.older_expires_at, "the end of a secret")?,
                last_used_at: values::optional_time(row.older_used_at, "the last use of a secret")?,
                finish_when_idle: row
                    .finish_when_idle
                    .map(|seconds| values::number(seconds, "the idle time of a secret"))
                    .transpose()?,
            },
        })
    }
}

/// The secrets of a key that was rotated.
fn rotation<M>(session: &mut Session<M>, id: &str) -> Result<Option<Rotation>, StoreError> {
    let row = session.run(|connection| {
        let found = key_rotations::table
            .filter(key_rotations::key_id.eq(id))
            .select(prepared::columns::<RotationRow>());
        prepared::first_by_type::<_, RotationRow>(connection, found)
    })?;
    row.map(Rotation::try_from).transpose()
}

/// A key with its secrets.
fn with_secrets<M>(session: &mut Session<M>, row: KeyRow) -> Result<PartnerKey, StoreError> {
    let rotation = if row.rotated {
        rotation(session, &row.id)?
    } else {
        None
    };
    Ok(PartnerKey {
        rotation,
        ..row.try_into()?
    })
}

pub(super) fn with_partner<M>(
    session: &mut Session<M>,
    (key, partner): (KeyRow, PartnerRow),
) -> Result<KeyWithPartner, StoreError> {
    Ok(KeyWithPartner {
        key: with_secrets(session, key)?,
        partner: partner.try_into()?,
    })
}

/// The secrets of many keys.
pub(super) fn rotations<M>(
    session: &mut Session<M>,
    ids: &[String],
) -> Result<HashMap<String, Rotation>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<RotationRow> = session.run(|connection| {
        key_rotations::table
            .filter(key_rotations::key_id.eq_any(ids))
            .select(RotationRow::as_select())
            .load(connection)
    })?;
    rows.into_iter()
        .map(|row| Ok((row.key_id.clone(), Rotation::try_from(row)?)))
        .collect()
}

/// Keys whose rotation is to be looked at by `now`.
pub(super) fn due<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let ids: Vec<String> = session.run(|connection| {
        key_rotations::table
            .filter(key_rotations::check_at.le(values::micros(now)))
            .order((key_rotations::check_at, key_rotations::key_id))
            .limit(values::row_count(limit))
            .select(key_rotations::key_id)
            .load(connection)
    })?;
    let ids = ids.iter();
    ids.map(|id| values::id(id, "the id of a key")).collect()
}

/// How many rotations are not over, up to `limit`.
pub(super) fn running<M>(session: &mut Session<M>, limit: usize) -> Result<usize, StoreError> {
    let counted: Vec<i64> = session.run(|connection| {
        key_rotations::table
            .filter(key_rotations::check_at.is_not_null())
            .limit(values::row_count(limit))
            .select(key_rotations::created_at)
            .load(connection)
    })?;
    Ok(counted.len())
}

/// Records the use of a secret.
pub(super) fn touch(
    session: &mut Session<Writing>,
    id: KeyId,
    (secret, at): (OffsetDateTime, OffsetDateTime),
) -> Result<(), StoreError> {
    let (id, secret, at) = (id.to_string(), values::micros(secret), values::micros(at));
    let newest = key_rotations::table
        .find(&id)
        .filter(key_rotations::created_at.eq(secret))
        .filter(
            key_rotations::used_at
                .is_null()
                .or(key_rotations::used_at.lt(at).assume_not_null()),
        );
    let touched = diesel::update(newest).set(key_rotations::used_at.eq(at));
    if session.run(|connection| prepared::execute(connection, touched))? > 0 {
        return Ok(());
    }
    let older = key_rotations::table
        .find(&id)
        .filter(key_rotations::older_created_at.eq(secret))
        .filter(
            key_rotations::older_used_at
                .is_null()
                .or(key_rotations::older_used_at.lt(at).assume_not_null()),
        );
    let touched = diesel::update(older).set(key_rotations::older_used_at.eq(at));
    session.run(|connection| prepared::execute(connection, touched))?;
    Ok(())
}

/// Makes the stored secret the older one. The caller writes the digest of the new one.
pub(super) fn insert(
    session: &mut Session<Writing>,
    key: &PartnerKey,
    check_at: Option<OffsetDateTime>,
) -> Result<(), StoreError> {
    let row = RotationRow::of(key)?;
    let (digest, pepper) = stored_digest(session, &row.key_id)?;
    session.run(|connection| {
        diesel::delete(key_rotations::table.find(&row.key_id)).execute(connection)
    })?;
    session.run(|connection| {
        diesel::insert_into(key_rotations::table)
            .values((
                &row,
                key_rotations::older_digest.eq(digest),
                key_rotations::older_pepper_id.eq(pepper),
                key_rotations::check_at.eq(check_at.map(values::micros)),
            ))
            .execute(connection)
    })?;
    Ok(())
}

/// Writes the end of the older secret, unless the rotation is over; whether it was not.
pub(super) fn finish(session: &mut Session<Writing>, key: &PartnerKey) -> Result<bool, StoreError> {
    let row = RotationRow::of(key)?;
    let running = key_rotations::table
        .find(&row.key_id)
        .filter(key_rotations::check_at.is_not_null());
    let rows = session.run(|connection| {
        diesel::update(running)
            .set((
                key_rotations::older_expires_at.eq(row.older_expires_at),
                key_rotations::check_at.eq(None::<i64>),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

/// Makes the stored secret the older one, and gives what was the older one's digest to the caller, with the
/// pepper.
pub(super) fn swap(
    session: &mut Session<Writing>,
    key: &PartnerKey,
) -> Result<(Vec<u8>, Option<String>), StoreError> {
    let row = RotationRow::of(key)?;
    let (digest, pepper) = stored_digest(session, &row.key_id)?;
    let place = key_rotations::table.find(&row.key_id);
    let older = session.run(|connection| {
        place
            .select((key_rotations::older_digest, key_rotations::older_pepper_id))
            .first(connection)
    })?;
    session.run(|connection| {
        diesel::update(place)
            .set((
                &row,
                key_rotations::older_digest.eq(digest),
                key_rotations::older_pepper_id.eq(pepper),
                key_rotations::check_at.eq(None::<i64>),
            ))
            .execute(connection)
    })?;
    Ok(older)
}

/// The digest of a key's newest secret, and the pepper that it was made with.
fn stored_digest(
    session: &mut Session<Writing>,
    id: &str,
) -> Result<(Vec<u8>, Option<String>), StoreError> {
    session.run(|connection| {
        partner_keys::table
            .find(id)
            .select((partner_keys::digest, partner_keys::pepper_id))
            .first(connection)
    })
}

/// Has a rotation that is not over be looked at by another time.
pub(super) fn check_at(
    session: &mut Session<Writing>,
    id: KeyId,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    let running = key_rotations::table
        .find(id.to_string())
        .filter(key_rotations::check_at.is_not_null());
    session.run(|connection| {
        diesel::update(running)
            .set(key_rotations::check_at.eq(values::micros(at)))
            .execute(connection)
    })?;
    Ok(())
}

/// Replaces the digest of a key's older secret, if it still is `from`; whether it was.
pub(super) fn renew(
    session: &mut Session<Writing>,
    id: KeyId,
    from: &KeyDigest,
    to: &KeyDigest,
) -> Result<bool, StoreError> {
    let unchanged = key_rotations::table
        .find(id.to_string())
        .filter(key_rotations::older_digest.eq(from.as_bytes().as_slice()));
    let rows = session.run(|connection| {
        diesel::update(unchanged)
            .set((
                key_rotations::older_digest.eq(to.as_bytes().as_slice()),
                key_rotations::older_pepper_id.eq(values::pepper(to)),
            ))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

/// The pepper of a key's older secret, and that of the newest.
type PepperPair = (Option<String>, Option<String>);

/// The peppers of older secrets that work at `now`, each with that of the newest, of keys that can be used.
pub(super) fn peppers<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Vec<PepperPair>, StoreError> {
    let now = values::micros(now);
    let unexpired = partner_keys::expires_at
        .is_null()
        .or(partner_keys::expires_at.gt(now).assume_not_null());
    session.run(|connection| {
        key_rotations::table
            .inner_join(partner_keys::table.on(partner_keys::id.eq(key_rotations::key_id)))
            .filter(key_rotations::check_at.is_not_null())
            .filter(key_rotations::older_expires_at.gt(now))
            .filter(partner_keys::revoked_at.is_null())
            .filter(unexpired)
            .select((key_rotations::older_pepper_id, partner_keys::pepper_id))
            .load(connection)
    })
}

/// Sets the pepper of all older secrets whose pepper is not known.
pub(super) fn label_pepper(session: &mut Session<Writing>, pepper: &str) -> Result<(), StoreError> {
    let unknown = key_rotations::table.filter(key_rotations::older_pepper_id.is_null());
    session.run(|connection| {
        diesel::update(unknown)
            .set(key_rotations::older_pepper_id.eq(pepper))
            .execute(connection)
    })?;
    Ok(())
}
