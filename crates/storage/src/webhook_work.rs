//! The deliverer's rows: which endpoints have deliveries due, who holds them, what has been announced,
//! and what can be forgotten.

use ::orgs::OrgStatus;
use diesel::{
    dsl::{exists, min, not},
    prelude::*,
};
use ids::{EndpointId, KeyId, OrgId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Endpoint, Hold, SealedSecrets};

use crate::{
    dialect,
    orgs::is_live,
    schema::{
        orgs, partner_keys, webhook_announcements as announcements,
        webhook_deliveries as deliveries, webhook_endpoints as endpoints,
    },
    session::{Session, Writing},
    values,
    webhook_endpoints::EndpointRow,
};

/// When the first delivery falls due to an endpoint that nobody holds at `now`.
pub(crate) fn next_due<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let now = values::micros(now);
    // The first in the order of an index, and not the least of all: a backlog may be long.
    let first: Option<Option<i64>> = session.run(|connection| {
        deliveries::table
            .inner_join(endpoints::table)
            .filter(deliveries::due_at.is_not_null())
            .filter(endpoints::deleted_at.is_null())
            .filter(
                endpoints::hold_until
                    .is_null()
                    .or(endpoints::hold_until.le(now)),
            )
            .order(deliveries::due_at)
            .select(deliveries::due_at)
            .first(connection)
            .optional()
    })?;
    let first = first.flatten();
    values::optional_time(first, "the next attempt at a delivery")
}

/// Takes endpoints that are free, in the order of their ids, so that two workers who want the same ones
/// wait for each other and never both.
pub(crate) fn hold(
    session: &mut Session<Writing>,
    now: OffsetDateTime,
    hold: Hold,
    limit: usize,
) -> Result<Vec<EndpointId>, StoreError> {
    let now = values::micros(now);
    let mut wanted: Vec<String> = session.run(|connection| {
        deliveries::table
            .inner_join(endpoints::table)
            .filter(deliveries::due_at.le(now))
            .filter(endpoints::deleted_at.is_null())
            .filter(
                endpoints::hold_until
                    .is_null()
                    .or(endpoints::hold_until.le(now)),
            )
            .group_by(deliveries::endpoint_id)
            .order((min(deliveries::due_at), deliveries::endpoint_id))
            .limit(values::row_count(limit))
            .select(deliveries::endpoint_id)
            .load(connection)
    })?;
    let in_order = wanted.clone();
    wanted.sort_unstable();
    let mut held = Vec::with_capacity(wanted.len());
    for id in wanted {
        let free = endpoints::table
            .find(&id)
            .filter(endpoints::deleted_at.is_null())
            .filter(
                endpoints::hold_until
                    .is_null()
                    .or(endpoints::hold_until.le(now)),
            );
        let taken = session.run(|connection| {
            diesel::update(free)
                .set((
                    endpoints::hold_token.eq(hold.token.to_string()),
                    endpoints::hold_until.eq(values::micros(hold.until)),
                ))
                .execute(connection)
        })?;
        if taken > 0 {
            held.push(id);
        }
    }
    in_order
        .iter()
        .filter(|id| held.contains(id))
        .map(|id| values::id(id, "the id of a webhook endpoint"))
        .collect()
}

pub(crate) fn renew(session: &mut Session<Writing>, hold: Hold) -> Result<(), StoreError> {
    let held = endpoints::table.filter(endpoints::hold_token.eq(hold.token.to_string()));
    session.run(|connection| {
        diesel::update(held)
            .set(endpoints::hold_until.eq(values::micros(hold.until)))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn held(
    session: &mut Session<Writing>,
    id: EndpointId,
    token: Ulid,
) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
    session.run(|connection| dialect::webhooks::lock_endpoint(connection, &id.to_string()))?;
    session
        .run(|connection| {
            endpoints::table
                .find(id.to_string())
                .filter(endpoints::hold_token.eq(token.to_string()))
                .filter(endpoints::deleted_at.is_null())
                .select(EndpointRow::as_select())
                .first(connection)
                .optional()
        })?
        .map(EndpointRow::with_secrets)
        .transpose()
}

pub(crate) fn release(
    session: &mut Session<Writing>,
    id: EndpointId,
    token: Ulid,
) -> Result<(), StoreError> {
    let held = endpoints::table
        .find(id.to_string())
        .filter(endpoints::hold_token.eq(token.to_string()));
    session.run(|connection| {
        diesel::update(held)
            .set((
                endpoints::hold_token.eq(None::<String>),
                endpoints::hold_until.eq(None::<i64>),
            ))
            .execute(connection)
    })?;
    Ok(())
}

pub(crate) fn keys_to_announce<M>(
    session: &mut Session<M>,
    from: OffsetDateTime,
    until: OffsetDateTime,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let announced = announcements::table
        .filter(announcements::subject.eq(partner_keys::id))
        .filter(announcements::ends_at.gt(values::micros(from)));
    let ids: Vec<String> = session.run(|connection| {
        partner_keys::table
            .filter(partner_keys::expires_at.gt(values::micros(from)))
            .filter(partner_keys::expires_at.le(values::micros(until)))
            .filter(partner_keys::revoked_at.is_null())
            .filter(not(exists(announced)))
            .order((partner_keys::expires_at, partner_keys::id))
            .limit(values::row_count(limit))
            .select(partner_keys::id)
            .load(connection)
    })?;
    ids.iter()
        .map(|id| values::id(id, "the id of a key"))
        .collect()
}

pub(crate) fn orgs_to_announce<M>(
    session: &mut Session<M>,
    from: OffsetDateTime,
    until: OffsetDateTime,
    limit: usize,
) -> Result<Vec<OrgId>, StoreError> {
    let announced = announcements::table
        .filter(announcements::subject.eq(orgs::id))
        .filter(announcements::ends_at.gt(values::micros(from)));
    let ids: Vec<String> = session.run(|connection| {
        orgs::table
            .filter(is_live())
            .filter(orgs::status.eq_any(OrgStatus::STAYING.map(OrgStatus::as_str)))
            .filter(orgs::expires_at.gt(values::micros(from)))
            .filter(orgs::expires_at.le(values::micros(until)))
            .filter(not(exists(announced)))
            .order((orgs::expires_at, orgs::id))
            .limit(values::row_count(limit))
            .select(orgs::id)
            .load(connection)
    })?;
    ids.iter()
        .map(|id| values::id(id, "the id of an org"))
        .collect()
}

pub(crate) fn forget(
    session: &mut Session<Writing>,
    since: OffsetDateTime,
    limit: usize,
) -> Result<usize, StoreError> {
    let since = values::micros(since);
    let mut forgotten = 0;
    let room = |forgotten: usize| values::row_count(limit.saturating_sub(forgotten));

    let ended: Vec<String> = session.run(|connection| {
        deliveries::table
            .filter(deliveries::ended_at.lt(since))
            .order(deliveries::ended_at)
            .limit(room(forgotten))
            .select(deliveries::id)
            .load(connection)
    })?;
    forgotten += delete_deliveries(session, ended)?;

    let orphaned: Vec<String> = session.run(|connection| {
        deliveries::table
            .inner_join(endpoints::table)
            .filter(endpoints::deleted_at.is_not_null())
            .limit(room(forgotten))
            .select(deliveries::id)
            .load(connection)
    })?;
    forgotten += delete_deliveries(session, orphaned)?;

    // What was deleted just now may be about to get one more delivery, of a change that began before.
    let deliveries_left = deliveries::table.filter(deliveries::endpoint_id.eq(endpoints::id));
    let bare: Vec<String> = session.run(|connection| {
        endpoints::table
            .filter(endpoints::deleted_at.lt(since))
            .filter(not(exists(deliveries_left)))
            .limit(room(forgotten))
            .select(endpoints::id)
            .load(connection)
    })?;
    forgotten += session.run(|connection| {
        diesel::delete(endpoints::table.filter(endpoints::id.eq_any(bare))).execute(connection)
    })?;

    let past: Vec<(String, i64)> = session.run(|connection| {
        announcements::table
            .filter(announcements::ends_at.lt(since))
            .order(announcements::ends_at)
            .limit(room(forgotten))
            .select((announcements::subject, announcements::ends_at))
            .load(connection)
    })?;
    for place in past {
        forgotten += session.run(|connection| {
            diesel::delete(announcements::table.find(place)).execute(connection)
        })?;
    }
    Ok(forgotten)
}

fn delete_deliveries(
    session: &mut Session<Writing>,
    ids: Vec<String>,
) -> Result<usize, StoreError> {
    session.run(|connection| {
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)
    })
}
