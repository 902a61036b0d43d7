//! Ends that are announced, each once: of orgs by their lease, and of keys.
//!
//! The rows of orgs and keys have the end that is still to be announced in a column of their own, which has
//! an index: what has been announced is not met again.

use diesel::{
    dsl::{exists, max, not},
    prelude::*,
};
use ids::{KeyId, OrgId};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::ANNOUNCED_AHEAD;

use crate::{
    dialect,
    orgs::is_staying,
    schema::{orgs, partner_keys, webhook_announcements as announcements},
    session::{Session, Writing},
    values,
};

pub(crate) fn keys<M>(
    session: &mut Session<M>,
    from: OffsetDateTime,
    until: OffsetDateTime,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let (from, until) = (values::micros(from), values::micros(until));
    let announced = announcements::table
        .filter(announcements::subject.eq(partner_keys::id))
        .filter(announcements::ends_at.gt(from));
    let ids: Vec<String> = session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::end_to_announce.gt(from))
            .filter(partner_keys::end_to_announce.le(until))
            .filter(partner_keys::expires_at.gt(from))
            .filter(partner_keys::revoked_at.is_null())
            .filter(not(exists(announced)))
            .order((partner_keys::end_to_announce, partner_keys::id))
            .limit(values::row_count(limit))
            .select(partner_keys::id)
            .load(connection)
    })?;
    ids.iter()
        .map(|id| values::id(id, "the id of a key"))
        .collect()
}

pub(crate) fn orgs<M>(
    session: &mut Session<M>,
    from: OffsetDateTime,
    until: OffsetDateTime,
    limit: usize,
) -> Result<Vec<OrgId>, StoreError> {
    let (from, until) = (values::micros(from), values::micros(until));
    let announced = announcements::table
        .filter(announcements::subject.eq(orgs::id))
        .filter(announcements::ends_at.gt(from));
    let ids: Vec<String> = session.run(|connection| {
        orgs::table
            .filter(is_staying())
            .filter(orgs::end_to_announce.gt(from))
            .filter(orgs::end_to_announce.le(until))
            .filter(orgs::expires_at.gt(from))
            .filter(not(exists(announced)))
            .order((orgs::end_to_announce, orgs::id))
            .limit(values::row_count(limit))
            .select(orgs::id)
            .load(connection)
    })?;
    ids.iter()
        .map(|id| values::id(id, "the id of an org"))
        .collect()
}

/// The end that is to be announced of what ends at `end`: where an earlier end was announced, not before
/// that one has passed.
pub(crate) fn end_to_announce(
    session: &mut Session<Writing>,
    subject: &str,
    end: i64,
) -> Result<i64, StoreError> {
    let ahead = i64::try_from(ANNOUNCED_AHEAD.whole_microseconds()).unwrap_or(i64::MAX);
    let last: Option<i64> = session.run(|connection| {
        announcements::table
            .filter(announcements::subject.eq(subject))
            .select(max(announcements::ends_at))
            .get_result(connection)
    })?;
    Ok(last.map_or(end, |last| end.max(last.saturating_add(ahead))))
}

/// When the end of a key is to be announced that is about to end at another time, or at none. The caller holds
/// the key.
pub(crate) fn key_end_to_announce(
    session: &mut Session<Writing>,
    id: &str,
    end: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    let before: Option<(Option<i64>, Option<i64>)> = session.run(|connection| {
        partner_keys::table
            .find(id)
            .select((partner_keys::expires_at, partner_keys::end_to_announce))
            .first(connection)
            .optional()
    })?;
    match (before, end) {
        (Some((end_before, to_announce)), _) if end_before == end => Ok(to_announce),
        (_, Some(end)) => end_to_announce(session, id, end).map(Some),
        (_, None) => Ok(None),
    }
}

/// Notes that an end is announced; `false` when it was noted before.
pub(crate) fn insert(
    session: &mut Session<Writing>,
    subject: &str,
    ends_at: OffsetDateTime,
) -> Result<bool, StoreError> {
    let ends_at = values::micros(ends_at);
    let is_new = session
        .run(|connection| dialect::webhooks::announcement_insert(connection, subject, ends_at))?;
    // An end that was put off meanwhile is announced in its turn.
    session.run(|connection| {
        if subject.parse::<OrgId>().is_ok() {
            let org = orgs::table
                .find(subject)
                .filter(orgs::expires_at.le(ends_at));
            diesel::update(org)
                .set(orgs::end_to_announce.eq(None::<i64>))
                .execute(connection)
        } else {
            let key = partner_keys::table
                .find(subject)
                .filter(partner_keys::expires_at.le(ends_at));
            diesel::update(key)
                .set(partner_keys::end_to_announce.eq(None::<i64>))
                .execute(connection)
        }
    })?;
    Ok(is_new)
}

/// Forgets up to `limit` announcements of ends before a time; tells how many.
pub(crate) fn forget(
    session: &mut Session<Writing>,
    since: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let past: Vec<(String, i64)> = session
        .run(|connection| dialect::webhooks::past_announcements(connection, since, limit))?;
    let mut forgotten = 0;
    for place in past {
        forgotten += session.run(|connection| {
            diesel::delete(announcements::table.find(place)).execute(connection)
        })?;
    }
    Ok(forgotten)
}
