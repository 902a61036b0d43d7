//! Rows of admin keys, and the pepper's check value.

use diesel::prelude::*;
use ids::AdminKeyId;
use keys::{AdminKey, AdminKeyOrigin, KeyDigest};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    dialect::{self, same},
    peppers,
    schema::{admin_keys, meta},
    session::{Session, Writing},
    values,
};

/// The name of the pepper's check value in the table of single values.
const PEPPER_CHECK: &str = "pepper_check";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = admin_keys)]
struct AdminKeyRow {
    id: String,
    name: String,
    origin: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl From<&AdminKey> for AdminKeyRow {
    fn from(key: &AdminKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            origin: key.origin.as_str().to_owned(),
            created_at: values::micros(key.created_at),
            revoked_at: key.revoked_at.map(values::micros),
        }
    }
}

impl TryFrom<AdminKeyRow> for AdminKey {
    type Error = StoreError;

    fn try_from(row: AdminKeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of an admin key")?,
            name: values::name(row.name, "the name of an admin key")?,
            origin: [AdminKeyOrigin::Generated, AdminKeyOrigin::Settings]
                .into_iter()
                .find(|origin| origin.as_str() == row.origin)
                .ok_or(values::corrupt("the origin of an admin key"))?,
            created_at: values::time(row.created_at, "the time of an admin key")?,
            revoked_at: values::optional_time(row.revoked_at, "the end of an admin key")?,
        })
    }
}

pub(crate) fn by_digest<M>(
    session: &mut Session<M>,
    digests: &[KeyDigest],
) -> Result<Option<AdminKey>, StoreError> {
    for digest in digests {
        let row = session.run(|connection| {
            let found = admin_keys::table
                .filter(admin_keys::digest.eq(digest.as_bytes().as_slice()))
                .select(same::columns::<AdminKeyRow>());
            same::ask_one::<_, AdminKeyRow>(connection, found)
        })?;
        if let Some(row) = row {
            return row.try_into().map(Some);
        }
    }
    Ok(None)
}

pub(crate) fn by_digests<M>(
    session: &mut Session<M>,
    digests: &[KeyDigest],
) -> Result<Vec<(KeyDigest, AdminKey)>, StoreError> {
    let digests: Vec<&[u8]> = digests
        .iter()
        .map(|digest| &digest.as_bytes()[..])
        .collect();
    let rows: Vec<(Vec<u8>, AdminKeyRow)> = session.run(|connection| {
        admin_keys::table
            .filter(admin_keys::digest.eq_any(digests))
            .select((admin_keys::digest, AdminKeyRow::as_select()))
            .load(connection)
    })?;
    rows.into_iter()
        .map(|(digest, key)| Ok((values::digest(digest)?, key.try_into()?)))
        .collect()
}

pub(crate) fn by_id<M>(
    session: &mut Session<M>,
    id: AdminKeyId,
) -> Result<Option<AdminKey>, StoreError> {
    session
        .run(|connection| {
            let found = admin_keys::table
                .find(id.to_string())
                .select(same::columns::<AdminKeyRow>());
            same::ask_one::<_, AdminKeyRow>(connection, found)
        })?
        .map(AdminKey::try_from)
        .transpose()
}

pub(crate) fn all<M>(session: &mut Session<M>) -> Result<Vec<AdminKey>, StoreError> {
    session
        .run(|connection| {
            admin_keys::table
                .order(admin_keys::id.desc())
                .select(AdminKeyRow::as_select())
                .load(connection)
        })?
        .into_iter()
        .map(AdminKey::try_from)
        .collect()
}

pub(crate) fn insert(
    session: &mut Session<Writing>,
    key: &AdminKey,
    digest: &KeyDigest,
) -> Result<(), StoreError> {
    let row = AdminKeyRow::from(key);
    session.run(|connection| {
        diesel::insert_into(admin_keys::table)
            .values((
                &row,
                admin_keys::digest.eq(digest.as_bytes().as_slice()),
                admin_keys::pepper_id.eq(peppers::column(digest)),
            ))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn revoke(
    session: &mut Session<Writing>,
    id: AdminKeyId,
    at: OffsetDateTime,
) -> Result<bool, StoreError> {
    let live = admin_keys::table
        .find(id.to_string())
        .filter(admin_keys::revoked_at.is_null());
    let rows = session.run(|connection| {
        diesel::update(live)
            .set(admin_keys::revoked_at.eq(values::micros(at)))
            .execute(connection)
    })?;
    Ok(rows > 0)
}

pub(crate) fn restore(session: &mut Session<Writing>, id: AdminKeyId) -> Result<(), StoreError> {
    session.run(|connection| {
        diesel::update(admin_keys::table.find(id.to_string()))
            .set(admin_keys::revoked_at.eq(None::<i64>))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn pepper_check<M>(session: &mut Session<M>) -> Result<Option<String>, StoreError> {
    session.run(|connection| {
        meta::table
            .find(PEPPER_CHECK)
            .select(meta::value)
            .first(connection)
            .optional()
    })
}

pub(crate) fn pepper_check_replace(
    session: &mut Session<Writing>,
    expected: Option<&str>,
    new: &str,
) -> Result<bool, StoreError> {
    let Some(expected) = expected else {
        return session.run(|connection| dialect::meta_insert(connection, PEPPER_CHECK, new));
    };
    let unchanged = meta::table
        .find(PEPPER_CHECK)
        .filter(meta::value.eq(expected));
    let rows = session.run(|connection| {
        diesel::update(unchanged)
            .set(meta::value.eq(new))
            .execute(connection)
    })?;
    Ok(rows > 0)
}
