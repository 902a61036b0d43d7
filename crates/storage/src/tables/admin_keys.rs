//! Admin keys.

use diesel::{dsl::count_star, prelude::*};
use ids::AdminKeyId;
use keys::{AdminKey, AdminKeyOrigin, AdminKeyQueries, AdminKeyStore, Changed, KeyDigest};
use stores::StoreError;
use time::OffsetDateTime;

use super::{key_changes, values};
use crate::{
    connection::prepared,
    session::{Session, Writing},
};

diesel::table! {
    admin_keys (id) {
        id -> Text,
        name -> Text,
        digest -> Binary,
        origin -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        pepper_id -> Nullable<Text>,
        role -> Text,
        expires_at -> Nullable<BigInt>,
        allowed_cidrs -> Nullable<Text>,
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = admin_keys)]
struct AdminKeyRow {
    id: String,
    name: String,
    origin: String,
    created_at: i64,
    revoked_at: Option<i64>,
    role: String,
    expires_at: Option<i64>,
    allowed_cidrs: Option<String>,
}

impl From<&AdminKey> for AdminKeyRow {
    fn from(key: &AdminKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            origin: key.origin.as_str().to_owned(),
            created_at: values::micros(key.created_at),
            revoked_at: key.revoked_at.map(values::micros),
            role: key.role.as_str().to_owned(),
            expires_at: key.expires_at.map(values::micros),
            allowed_cidrs: key.allowed_cidrs.as_ref().map(values::networks_text),
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
            role: row
                .role
                .parse()
                .map_err(|_| values::corrupt("the role of an admin key"))?,
            expires_at: values::optional_time(row.expires_at, "the end of an admin key")?,
            allowed_cidrs: row
                .allowed_cidrs
                .map(|text| values::networks(&text, "the networks of an admin key"))
                .transpose()?,
            created_at: values::time(row.created_at, "the time of an admin key")?,
            revoked_at: values::optional_time(row.revoked_at, "the revocation of an admin key")?,
        })
    }
}

impl<M> AdminKeyQueries for Session<M> {
    type Error = StoreError;

    fn admin_key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<AdminKey>, StoreError> {
        for digest in digests {
            let row = self.run(|connection| {
                let found = admin_keys::table
                    .filter(admin_keys::digest.eq(digest.as_bytes().as_slice()))
                    .select(prepared::columns::<AdminKeyRow>());
                prepared::first_by_type::<_, AdminKeyRow>(connection, found)
            })?;
            if let Some(row) = row {
                return row.try_into().map(Some);
            }
        }
        Ok(None)
    }

    fn admin_keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, AdminKey)>, StoreError> {
        let digests: Vec<&[u8]> = digests
            .iter()
            .map(|digest| &digest.as_bytes()[..])
            .collect();
        let rows: Vec<(Vec<u8>, AdminKeyRow)> = self.run(|connection| {
            admin_keys::table
                .filter(admin_keys::digest.eq_any(digests))
                .select((admin_keys::digest, AdminKeyRow::as_select()))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|(digest, key)| Ok((values::digest(digest)?, key.try_into()?)))
            .collect()
    }

    fn admin_key(&mut self, id: AdminKeyId) -> Result<Option<AdminKey>, StoreError> {
        self.run(|connection| {
            let found = admin_keys::table
                .find(id.to_string())
                .select(prepared::columns::<AdminKeyRow>());
            prepared::first_by_type::<_, AdminKeyRow>(connection, found)
        })?
        .map(AdminKey::try_from)
        .transpose()
    }

    fn admin_keys(&mut self) -> Result<Vec<AdminKey>, StoreError> {
        self.run(|connection| {
            admin_keys::table
                .order(admin_keys::id.desc())
                .select(AdminKeyRow::as_select())
                .load(connection)
        })?
        .into_iter()
        .map(AdminKey::try_from)
        .collect()
    }
}

impl AdminKeyStore for Session<Writing> {
    fn admin_key_insert(&mut self, key: &AdminKey, digest: &KeyDigest) -> Result<(), StoreError> {
        let row = AdminKeyRow::from(key);
        self.run(|connection| {
            diesel::insert_into(admin_keys::table)
                .values((
                    &row,
                    admin_keys::digest.eq(digest.as_bytes().as_slice()),
                    admin_keys::pepper_id.eq(values::pepper(digest)),
                ))
                .execute(connection)
        })?;
        key_changes::log(self, Changed::AdminKeys)
    }

    fn admin_key_revoke(&mut self, id: AdminKeyId, at: OffsetDateTime) -> Result<bool, StoreError> {
        let live = admin_keys::table
            .find(id.to_string())
            .filter(admin_keys::revoked_at.is_null());
        let rows = self.run(|connection| {
            diesel::update(live)
                .set(admin_keys::revoked_at.eq(values::micros(at)))
                .execute(connection)
        })?;
        key_changes::log(self, Changed::AdminKeys)?;
        Ok(rows > 0)
    }

    fn admin_key_restore(&mut self, id: AdminKeyId) -> Result<(), StoreError> {
        self.run(|connection| {
            diesel::update(admin_keys::table.find(id.to_string()))
                .set(admin_keys::revoked_at.eq(None::<i64>))
                .execute(connection)
        })?;
        key_changes::log(self, Changed::AdminKeys)
    }

    fn admin_key_digest_renew(
        &mut self,
        id: AdminKeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        let unchanged = admin_keys::table
            .find(id.to_string())
            .filter(admin_keys::digest.eq(from.as_bytes().as_slice()));
        let rows = self.run(|connection| {
            diesel::update(unchanged)
                .set((
                    admin_keys::digest.eq(to.as_bytes().as_slice()),
                    admin_keys::pepper_id.eq(values::pepper(to)),
                ))
                .execute(connection)
        })?;
        Ok(rows > 0)
    }
}

/// How many keys that can be used at `now` need each pepper.
pub(super) fn counts_by_pepper<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Vec<(Option<String>, i64)>, StoreError> {
    let unexpired = admin_keys::expires_at.is_null().or(admin_keys::expires_at
        .gt(values::micros(now))
        .assume_not_null());
    session.run(|connection| {
        admin_keys::table
            .filter(admin_keys::revoked_at.is_null())
            .filter(unexpired)
            .group_by(admin_keys::pepper_id)
            .select((admin_keys::pepper_id, count_star()))
            .load(connection)
    })
}

/// Sets the pepper of all keys that are not revoked and whose pepper is not known.
pub(super) fn label_pepper(session: &mut Session<Writing>, pepper: &str) -> Result<(), StoreError> {
    let unknown = admin_keys::table
        .filter(admin_keys::pepper_id.is_null())
        .filter(admin_keys::revoked_at.is_null());
    session.run(|connection| {
        diesel::update(unknown)
            .set(admin_keys::pepper_id.eq(pepper))
            .execute(connection)
    })?;
    Ok(())
}
