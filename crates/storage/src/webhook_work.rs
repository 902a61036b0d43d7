//! The deliverer's rows: which endpoints have deliveries due, who has leased them, and what can be
//! forgotten.

use std::collections::BTreeSet;

use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use ids::{EndpointId, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{Endpoint, Lease, PendingEndpoint, PendingEndpoints, SealedSecrets};

use crate::{
    announcements,
    dialect::{self, same},
    schema::{webhook_deliveries as deliveries, webhook_endpoints as endpoints},
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

/// Forgets deliveries that have ended, those to deleted endpoints, deleted endpoints and announcements, up to
/// `limit` of all together. What another transaction holds is left for the next time, so that nobody waits.
pub(crate) fn forget(
    session: &mut Session<Writing>,
    since: OffsetDateTime,
    limit: usize,
) -> Result<usize, StoreError> {
    let since = values::micros(since);
    let left = |forgotten: usize| values::row_count(limit.saturating_sub(forgotten));

    let ended = session
        .run(|connection| dialect::webhooks::ended_deliveries(connection, since, left(0)))?;
    let mut forgotten = delete_deliveries(session, ended)?;

    let deleted = session.run(|connection| {
        dialect::webhooks::endpoints_to_forget(connection, since, left(forgotten))
    })?;
    let orphaned = session.run(|connection| {
        dialect::webhooks::deliveries_to(connection, &deleted, left(forgotten))
    })?;
    forgotten += delete_deliveries(session, orphaned)?;
    forgotten += forget_endpoints(session, deleted, since, left(forgotten))?;

    forgotten += announcements::forget(session, since, left(forgotten))?;
    Ok(forgotten)
}

/// Deletes those of these deleted endpoints that have no deliveries left and were deleted before a time; the
/// others that have none are looked at again by then.
fn forget_endpoints(
    session: &mut Session<Writing>,
    deleted: Vec<String>,
    since: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let left = deliveries::table.filter(deliveries::endpoint_id.eq(endpoints::id));
    let bare: Vec<(String, Option<i64>)> = session.run(|connection| {
        endpoints::table
            .filter(endpoints::id.eq_any(deleted))
            .filter(not(exists(left)))
            .select((endpoints::id, endpoints::deleted_at))
            .load(connection)
    })?;
    // What was deleted just now may be about to get one more delivery, of a change that began before.
    let is_old = |(_, at): &(String, Option<i64>)| at.is_some_and(|at| at < since);
    let (old, young): (Vec<_>, Vec<_>) = bare.into_iter().partition(is_old);
    let ids = |rows: Vec<(String, Option<i64>)>| rows.into_iter().map(|(id, _)| id);
    let (young, old): (Vec<String>, Vec<String>) = (
        ids(young).collect(),
        ids(old).take(usize::try_from(limit).unwrap_or(0)).collect(),
    );
    session.run(|connection| {
        diesel::update(endpoints::table.filter(endpoints::id.eq_any(young)))
            .set(endpoints::forget_after.eq(endpoints::deleted_at))
            .execute(connection)
    })?;
    session.run(|connection| {
        diesel::delete(endpoints::table.filter(endpoints::id.eq_any(old))).execute(connection)
    })
}

fn delete_deliveries(
    session: &mut Session<Writing>,
    ids: Vec<String>,
) -> Result<usize, StoreError> {
    session.run(|connection| {
        diesel::delete(deliveries::table.filter(deliveries::id.eq_any(ids))).execute(connection)
    })
}
