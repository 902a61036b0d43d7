//! What is asked about partner keys.

use diesel::{dsl::count_star, prelude::*};
use ids::{KeyId, Page, PageRequest, TypedId as _, Ulid};
use keys::{FoundKey, KeyDigest, KeyFilter, KeyQueries, KeyWithPartner, PartnerKey};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    rotations::{self, with_partner},
    row::{KeyRow, partner_keys},
};
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

    fn key_by_digest(&mut self, digests: &[KeyDigest]) -> Result<Option<FoundKey>, StoreError> {
        // One prepared statement, asked once for each pepper; the current one's digest is the first.
        for digest in digests {
            if let Some(found) = by_newest(self, digest)? {
                return Ok(Some(found));
            }
        }
        for digest in digests {
            if let Some(found) = by_older(self, digest)? {
                return Ok(Some(found));
            }
            // A rotation that was cancelled meanwhile has made the older secret the newest.
            if let Some(found) = by_newest(self, digest)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, FoundKey)>, StoreError> {
        let mut missing: Vec<&[u8]> = digests
            .iter()
            .map(|digest| &digest.as_bytes()[..])
            .collect();
        let mut found = Vec::new();
        // The same three searches as above.
        for search in [many_by_newest, many_by_older, many_by_newest] {
            found.extend(search(self, &missing)?);
            missing.retain(|digest| {
                let mut found = found.iter();
                !found.any(|(known, _): &(KeyDigest, _)| known.as_bytes() == digest)
            });
        }
        Ok(found)
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

/// The key whose newest secret has this digest.
fn by_newest<M>(
    session: &mut Session<M>,
    digest: &KeyDigest,
) -> Result<Option<FoundKey>, StoreError> {
    let row = session.run(|connection| {
        let found = partner_keys::table
            .inner_join(partners::table)
            .filter(partner_keys::digest.eq(digest.as_bytes().as_slice()))
            .select((
                prepared::columns::<KeyRow>(),
                prepared::columns::<PartnerRow>(),
            ));
        prepared::first_by_type(connection, found)
    })?;
    let Some(row) = row else { return Ok(None) };
    let held = with_partner(session, row)?;
    let secret = held.key.newest_secret();
    Ok(Some(FoundKey { held, secret }))
}

/// The key whose older secret has this digest.
fn by_older<M>(
    session: &mut Session<M>,
    digest: &KeyDigest,
) -> Result<Option<FoundKey>, StoreError> {
    let Some(id) = rotations::key_of_older(session, digest)? else {
        return Ok(None);
    };
    let held = session.key(id)?;
    Ok(held.and_then(|held| {
        let secret = held.key.older_secret()?;
        Some(FoundKey { held, secret })
    }))
}

fn many_by_newest<M>(
    session: &mut Session<M>,
    digests: &[&[u8]],
) -> Result<Vec<(KeyDigest, FoundKey)>, StoreError> {
    let rows: Vec<(Vec<u8>, KeyRow, PartnerRow)> = session.run(|connection| {
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
    let mut found = Vec::with_capacity(rows.len());
    for (digest, key, partner) in rows {
        let held = with_partner(session, (key, partner))?;
        let secret = held.key.newest_secret();
        found.push((values::digest(digest)?, FoundKey { held, secret }));
    }
    Ok(found)
}

fn many_by_older<M>(
    session: &mut Session<M>,
    digests: &[&[u8]],
) -> Result<Vec<(KeyDigest, FoundKey)>, StoreError> {
    let mut found = Vec::new();
    for (digest, id) in rotations::keys_of_older(session, digests)? {
        let held = session.key(values::id(&id, "the id of a key")?)?;
        found.extend(held.and_then(|held| {
            let secret = held.key.older_secret()?;
            let digest = values::digest(digest).ok()?;
            Some((digest, FoundKey { held, secret }))
        }));
    }
    Ok(found)
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
