//! The deliverer's rows: which endpoints have deliveries due, who has leased them, what has been
//! announced, and what can be forgotten.

use std::collections::BTreeSet;

use ::orgs::OrgStatus;
use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use ids::{EndpointId, KeyId, OrgId, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Endpoint, Lease, PendingEndpoint, PendingEndpoints, SealedSecrets};

use crate::{
    dialect::{self, same},
    orgs::is_live,
    schema::{
        orgs, partner_keys, webhook_announcements as announcements,
        webhook_deliveries as deliveries, webhook_endpoints as endpoints,
    },
    session::{Session, Writing},
    values,
    webhook_endpoints::EndpointRow,
};

pub(crate) fn pending<M>(
    session: &mut Session<M>,
    now: OffsetDateTime,
    after: Option<PartnerId>,
    partners: usize,
) -> Result<PendingEndpoints, StoreError> {
    let (now, after) = (values::micros(now), after.map(|id| id.to_string()));
    let found = session.run(|connection| {
        let after = after.as_deref().unwrap_or_default();
        dialect::due::endpoints(connection, now, (after, values::row_count(partners)))
    })?;
    let endpoints = found.rows.into_iter().map(|(partner, id, due)| {
        Ok(PendingEndpoint {
            id: values::id(&id, "the id of a webhook endpoint")?,
            partner_id: values::id(&partner, "the partner of a webhook endpoint")?,
            due_at: values::time(due, "the next attempt at a delivery")?,
        })
    });
    Ok(PendingEndpoints {
        endpoints: endpoints.collect::<Result<_, StoreError>>()?,
        after: values::optional_id(found.after.as_deref(), "the partner of a delivery")?,
    })
}

/// Leases one endpoint after the other in the order of their ids, so that two workers who want the same
/// ones wait for each other and never both.
pub(crate) fn lease(
    session: &mut Session<Writing>,
    ids: &[EndpointId],
    now: OffsetDateTime,
    lease: Lease,
) -> Result<Vec<EndpointId>, StoreError> {
    let now = values::micros(now);
    let wanted: BTreeSet<EndpointId> = ids.iter().copied().collect();
    let mut leased = BTreeSet::new();
    for id in wanted {
        let free = endpoints::table
            .find(id.to_string())
            .filter(endpoints::deleted_at.is_null())
            .filter(
                endpoints::hold_until
                    .is_null()
                    .or(endpoints::hold_until.le(now)),
            );
        let taken = diesel::update(free).set((
            endpoints::hold_token.eq(lease.token.to_string()),
            endpoints::hold_until.eq(values::micros(lease.until)),
        ));
        if session.run(|connection| same::change(connection, taken))? > 0 {
            leased.insert(id);
        }
    }
    let in_order = ids.iter().copied().filter(|id| leased.contains(id));
    Ok(in_order.collect())
}

pub(crate) fn renew(
    session: &mut Session<Writing>,
    id: EndpointId,
    lease: Lease,
) -> Result<(), StoreError> {
    let leased = endpoints::table
        .find(id.to_string())
        .filter(endpoints::hold_token.eq(lease.token.to_string()));
    let renewed = diesel::update(leased).set(endpoints::hold_until.eq(values::micros(lease.until)));
    session.run(|connection| same::change(connection, renewed))?;
    Ok(())
}

pub(crate) fn leased<M>(
    session: &mut Session<M>,
    id: EndpointId,
    token: Ulid,
) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
    let row: Option<EndpointRow> = session.run(|connection| {
        let leased = endpoints::table
            .find(id.to_string())
            .filter(endpoints::hold_token.eq(token.to_string()))
            .filter(endpoints::deleted_at.is_null())
            .select(same::columns::<EndpointRow>());
        same::ask_one(connection, leased)
    })?;
    row.map(EndpointRow::with_secrets).transpose()
}

pub(crate) fn leased_for_update(
    session: &mut Session<Writing>,
    id: EndpointId,
    token: Ulid,
) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
    session.run(|connection| dialect::webhooks::lock_endpoint(connection, &id.to_string()))?;
    leased(session, id, token)
}

pub(crate) fn release(
    session: &mut Session<Writing>,
    id: EndpointId,
    token: Ulid,
) -> Result<(), StoreError> {
    let leased = endpoints::table
        .find(id.to_string())
        .filter(endpoints::hold_token.eq(token.to_string()));
    let released = diesel::update(leased).set((
        endpoints::hold_token.eq(None::<String>),
        endpoints::hold_until.eq(None::<i64>),
    ));
    session.run(|connection| same::change(connection, released))?;
    Ok(())
}

pub(crate) fn shorten(
    session: &mut Session<Writing>,
    later_than: OffsetDateTime,
    at: OffsetDateTime,
    limit: usize,
) -> Result<usize, StoreError> {
    let (later_than, limit) = (values::micros(later_than), values::row_count(limit));
    let late = session
        .run(|connection| dialect::hasten::endpoints_leased(connection, later_than, limit))?;
    session.run(|connection| {
        diesel::update(endpoints::table.filter(endpoints::id.eq_any(late)))
            .set(endpoints::hold_until.eq(values::micros(at)))
            .execute(connection)
    })
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
            .filter(orgs::status.eq_any(OrgStatus::DELETABLE.map(OrgStatus::as_str)))
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
