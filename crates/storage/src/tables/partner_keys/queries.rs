//! What is asked about partner keys.

use diesel::{dsl::count_star, prelude::*, sql_types::Bool};
use ids::{KeyId, Page, PageRequest, TypedId as _, Ulid};
use keys::{FoundKey, KeyDigest, KeyFilter, KeyQueries, KeyWithPartner, PartnerKey};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    rotations::{self, key_rotations, with_partner},
    row::{KeyRow, partner_keys},
};
use crate::{
    connection::{AnyBackend, on_both, prepared},
    session::Session,
    tables::{
        paged,
        partners::{PartnerRow, partners},
        values,
    },
};

/// How many digests one token has at the most as a rule, one for each pepper. Statements for so many are kept prepared.
const MAX_CANDIDATES: usize = 4;

impl<M> KeyQueries for Session<M> {
    type Error = StoreError;

    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, FoundKey)>, StoreError> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let found = by_digest(self, digests)?;
        let mut keys = Vec::with_capacity(found.len());
        for (digest, is_newest, key, partner) in found {
            let held = with_partner(self, (key, partner))?;
            let secret = if is_newest {
                Some(held.key.newest_secret())
            } else {
                held.key.older_secret()
            };
            if let Some(secret) = secret {
                keys.push((values::digest(digest)?, FoundKey { held, secret }));
            }
        }
        Ok(keys)
    }

    fn key(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        let row = self.run(|connection| {
            let found = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::id.eq(id.to_string()))
                .select((
                    prepared::columns::<KeyRow>(),
                    prepared::columns::<PartnerRow>(),
                ));
            prepared::first_by_type(connection, found)
        })?;
        row.map(|row| with_partner(self, row)).transpose()
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

    fn rotations_due(
        &mut self,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        rotations::due(self, now, limit)
    }

    fn rotations_running(&mut self, limit: usize) -> Result<usize, StoreError> {
        rotations::running(self, limit)
    }
}

/// The digest that a key was found by, whether it is that of its newest secret, the key and its partner.
type FoundRow = (Vec<u8>, bool, KeyRow, PartnerRow);

/// The keys whose newest or older secrets have these digests. One statement, so that a rotation that is cancelled
/// meanwhile hides no key.
fn by_digest<M>(
    session: &mut Session<M>,
    digests: &[KeyDigest],
) -> Result<Vec<FoundRow>, StoreError> {
    let digests: Vec<&[u8]> = digests
        .iter()
        .map(|digest| &digest.as_bytes()[..])
        .collect();
    let newest = partner_keys::table
        .inner_join(partners::table)
        .filter(partner_keys::digest.eq_any(&digests))
        .select((
            partner_keys::digest,
            true.into_sql::<Bool>(),
            prepared::columns::<KeyRow>(),
            prepared::columns::<PartnerRow>(),
        ));
    let older = key_rotations::table
        .inner_join(partner_keys::table.on(partner_keys::id.eq(key_rotations::key_id)))
        .inner_join(partners::table.on(partners::id.eq(partner_keys::partner_id)))
        .filter(key_rotations::older_digest.eq_any(&digests))
        .select((
            key_rotations::older_digest,
            false.into_sql::<Bool>(),
            prepared::columns::<KeyRow>(),
            prepared::columns::<PartnerRow>(),
        ));
    let found = newest.union_all(older);
    session.run(|connection| {
        if digests.len() <= MAX_CANDIDATES {
            prepared::load(connection, found)
        } else {
            on_both!(connection, |inner| found.load(inner))
        }
    })
}

/// The next keys below an id, of the partner that the filter names. Those of trust rules are many, and each is listed
/// for about a day: further back, an index is read that does not have them.
fn next<M>(
    session: &mut Session<M>,
    filter: &KeyFilter,
    below: Option<Ulid>,
    limit: i64,
) -> Result<Vec<PartnerKey>, StoreError> {
    let recent = filter.rule_keys_since().map(first_id);
    let (Some(recent), None) = (recent, filter.id) else {
        return read(session, filter, (None, below), Which::All, limit);
    };
    let mut keys = Vec::new();
    if below.is_none_or(|below| below > recent) {
        keys = read(session, filter, (Some(recent), below), Which::All, limit)?;
    }
    let rest = limit.saturating_sub(values::row_count(keys.len()));
    if rest > 0 {
        let below = below.map_or(recent, |below| below.min(recent));
        let older = (None, Some(below));
        keys.extend(read(session, filter, older, Which::Lasting, rest)?);
    }
    Ok(keys)
}

/// The lowest id that is made at a time.
fn first_id(at: OffsetDateTime) -> Ulid {
    let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Ulid::from_parts(ms, 0)
}

/// Which keys are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that no trust rule has made.
    Lasting,
}

/// Keys from an id on and below another, the highest first.
fn read<M>(
    session: &mut Session<M>,
    filter: &KeyFilter,
    (from, below): (Option<Ulid>, Option<Ulid>),
    which: Which,
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
    if let Some(from) = from {
        query = query.filter(partner_keys::id.ge(KeyId::from_ulid(from).to_string()));
    }
    if which == Which::Lasting {
        query = query.filter(partner_keys::prune_after.is_null());
    }
    let rows: Vec<KeyRow> = session.run(|connection| query.load(connection))?;
    let rotated = rows.iter().filter(|row| row.rotated);
    let rotated: Vec<String> = rotated.map(|row| row.id.clone()).collect();
    let mut rotations = rotations::rotations(session, &rotated)?;
    rows.into_iter()
        .map(|row| {
            let rotation = rotations.remove(&row.id);
            Ok(PartnerKey {
                rotation,
                ..row.try_into()?
            })
        })
        .collect()
}

/// How many keys that can be used at `now` need each pepper. A key needs two while its secrets do.
pub(in crate::tables) fn counts_by_pepper<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Vec<(Option<String>, i64)>, StoreError> {
    let unexpired = partner_keys::expires_at
        .is_null()
        .or(partner_keys::expires_at
            .gt(values::micros(now))
            .assume_not_null());
    let mut counts: Vec<(Option<String>, i64)> = session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::revoked_at.is_null())
            .filter(unexpired)
            .group_by(partner_keys::pepper_id)
            .select((partner_keys::pepper_id, count_star()))
            .load(connection)
    })?;
    let older = rotations::peppers(session, now)?.into_iter();
    counts.extend(
        older
            .filter(|(older, newest)| older != newest)
            .map(|(older, _)| (older, 1)),
    );
    Ok(counts)
}
