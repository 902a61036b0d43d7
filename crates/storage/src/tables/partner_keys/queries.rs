//! What is asked about partner keys.

use diesel::{dsl::count_star, prelude::*};
use ids::{KeyId, Page, PageRequest, TypedId as _, Ulid};
use keys::{KeyDigest, KeyFilter, KeyQueries, KeyWithPartner, PartnerKey};
use stores::StoreError;
use time::OffsetDateTime;

use super::row::{KeyRow, partner_keys, with_partner};
use crate::{
    connection::{AnyBackend, prepared},
    session::Session,
    tables::{
        paged,
        partners::{PartnerRow, partners},
        values,
    },
};

impl<M> KeyQueries for Session<M> {
    type Error = StoreError;

    fn key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<KeyWithPartner>, StoreError> {
        // One prepared statement, asked once for each pepper; the current one's digest is the first.
        for digest in digests {
            let row = self.run(|connection| {
                let found = partner_keys::table
                    .inner_join(partners::table)
                    .filter(partner_keys::digest.eq(digest.as_bytes().as_slice()))
                    .select((
                        prepared::columns::<KeyRow>(),
                        prepared::columns::<PartnerRow>(),
                    ));
                prepared::first_by_type(connection, found)
            })?;
            if let Some(row) = row {
                return with_partner(row).map(Some);
            }
        }
        Ok(None)
    }

    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, KeyWithPartner)>, StoreError> {
        let digests: Vec<&[u8]> = digests
            .iter()
            .map(|digest| &digest.as_bytes()[..])
            .collect();
        let rows: Vec<(Vec<u8>, KeyRow, PartnerRow)> = self.run(|connection| {
            partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::digest.eq_any(digests))
                .select((
                    partner_keys::digest,
                    KeyRow::as_select(),
                    PartnerRow::as_select(),
                ))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|(digest, key, partner)| {
                Ok((values::digest(digest)?, with_partner((key, partner))?))
            })
            .collect()
    }

    fn key(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        self.run(|connection| {
            let found = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::id.eq(id.to_string()))
                .select((
                    prepared::columns::<KeyRow>(),
                    prepared::columns::<PartnerRow>(),
                ));
            prepared::first_by_type(connection, found)
        })?
        .map(with_partner)
        .transpose()
    }

    fn keys(
        &mut self,
        filter: &KeyFilter,
        page: PageRequest,
    ) -> Result<Page<PartnerKey>, StoreError> {
        paged::page(
            self,
            page,
            |key: &PartnerKey| key.id.ulid(),
            |key| filter.includes(key),
            |session, below, limit| next(session, filter, below, limit),
        )
    }

    fn key_with_orgs_pending_deletion(&mut self) -> Result<Option<KeyId>, StoreError> {
        let id: Option<String> = self.run(|connection| {
            partner_keys::table
                .filter(partner_keys::orgs_to_go_since.is_not_null())
                .order((partner_keys::orgs_to_go_since, partner_keys::id))
                .select(partner_keys::id)
                .first(connection)
                .optional()
        })?;
        values::optional_id(id.as_deref(), "the id of a key")
    }
}

/// The next keys below an id, of the partner that the filter names.
fn next<M>(
    session: &mut Session<M>,
    filter: &KeyFilter,
    below: Option<Ulid>,
    limit: i64,
) -> Result<Vec<PartnerKey>, StoreError> {
    let mut query = partner_keys::table
        .order(partner_keys::id.desc())
        .limit(limit)
        .select(KeyRow::as_select())
        .into_boxed::<AnyBackend>();
    if let Some(id) = filter.id {
        query = query.filter(partner_keys::id.eq(id.to_string()));
    } else if let Some(partner) = filter.partner_id {
        query = query.filter(partner_keys::partner_id.eq(partner.to_string()));
    }
    if let Some(below) = below {
        query = query.filter(partner_keys::id.lt(KeyId::from_ulid(below).to_string()));
    }
    let rows = session.run(|connection| query.load(connection))?;
    rows.into_iter().map(PartnerKey::try_from).collect()
}

/// How many keys that can be used at `now` need each pepper.
pub(in crate::tables) fn counts_by_pepper<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Vec<(Option<String>, i64)>, StoreError> {
    let unexpired = partner_keys::expires_at
        .is_null()
        .or(partner_keys::expires_at
            .gt(values::micros(now))
            .assume_not_null());
    session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::revoked_at.is_null())
            .filter(unexpired)
            .group_by(partner_keys::pepper_id)
            .select((partner_keys::pepper_id, count_star()))
            .load(connection)
    })
}
