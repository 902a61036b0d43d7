//! Changes of webhook endpoints and deliveries in memory.

use ids::{DeliveryId, EndpointId, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{
    AnnouncementStore, Delivery, DeliveryStatus, DeliveryStore, Endpoint, EndpointQueries as _,
    EndpointStore, EventKind, LastAnswer, Lease, SealedSecrets, WebhookRetention,
};

use super::{
    session::{EndpointRow, MemoryTx, State},
    table::Violated,
    webhook_queries::{holds, with_secrets},
};

impl EndpointStore for MemoryTx {
    fn endpoint_insert(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        if self.state.partners.get(&endpoint.partner_id).is_none() {
            return Err(Violated("an endpoint's partner must exist").into());
        }
        let row = EndpointRow {
            endpoint: endpoint.clone(),
            secrets: Some(secrets.clone()),
            deleted_at: None,
            lease: None,
        };
        self.state.endpoints.insert(endpoint.id, row)
    }

    fn endpoint_for_update(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let row = self.state.live_endpoint(id);
        let row = row.filter(|row| row.endpoint.partner_id == partner);
        Ok(row.and_then(with_secrets))
    }

    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        let row = self.state.endpoints.get_mut(&endpoint.id);
        if let Some(row) = row.filter(|row| row.deleted_at.is_none()) {
            row.endpoint = Endpoint {
                created_at: row.endpoint.created_at,
                ..endpoint.clone()
            };
            row.secrets = Some(secrets.clone());
        }
        Ok(())
    }

    fn endpoint_reseal(
        &mut self,
        id: EndpointId,
        expected: &SealedSecrets,
        new: &SealedSecrets,
    ) -> Result<bool, StoreError> {
        let row = self.state.endpoints.get_mut(&id);
        let secrets = row.and_then(|row| row.secrets.as_mut());
        let Some(secrets) = secrets.filter(|secrets| secrets.current == expected.current) else {
            return Ok(false);
        };
        secrets.clone_from(new);
        Ok(true)
    }

    fn endpoint_failures(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let row = self.state.endpoints.get_mut(&endpoint.id);
        if let Some(row) = row.filter(|row| row.deleted_at.is_none()) {
            row.endpoint.failures = endpoint.failures;
        }
        Ok(())
    }

    fn endpoint_delete(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
        at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        if self.endpoint(partner, id)?.is_none() {
            return Ok(false);
        }
        if let Some(row) = self.state.endpoints.get_mut(&id) {
            row.deleted_at = Some(at);
            row.secrets = None;
        }
        Ok(true)
    }

    fn endpoints_lease(
        &mut self,
        ids: &[EndpointId],
        now: OffsetDateTime,
        lease: Lease,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let mut leased = Vec::new();
        for id in ids {
            let row = self.state.live_endpoint(*id);
            if row.is_some_and(|row| row.lease.is_none_or(|lease| lease.until <= now))
                && let Some(row) = self.state.endpoints.get_mut(id)
            {
                row.lease = Some(lease);
                leased.push(*id);
            }
        }
        Ok(leased)
    }

    fn endpoint_lease_renew(&mut self, id: EndpointId, lease: Lease) -> Result<(), StoreError> {
        let held = |row: &EndpointRow| row.endpoint.id == id && holds(row, lease.token);
        let endpoints = &mut self.state.endpoints;
        endpoints.change(held, |row| row.lease = Some(lease));
        Ok(())
    }

    fn endpoint_leased_for_update(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        self.endpoint_leased(id, token)
    }

    fn endpoint_lease_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), StoreError> {
        let held = |row: &EndpointRow| row.endpoint.id == id && holds(row, token);
        self.state.endpoints.change(held, |row| row.lease = None);
        Ok(())
    }

    fn endpoint_leases_shorten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let rows = self.state.endpoints.rows();
        let late = rows.filter(|row| row.lease.is_some_and(|lease| lease.until > later_than));
        let late: Vec<EndpointId> = late.map(|row| row.endpoint.id).take(limit).collect();
        let is_late = |row: &EndpointRow| late.contains(&row.endpoint.id);
        self.state.endpoints.change(is_late, |row| {
            row.lease = row.lease.map(|lease| Lease { until: at, ..lease });
        });
        Ok(late.len())
    }
}

impl DeliveryStore for MemoryTx {
    fn delivery_insert(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        if self.state.endpoints.get(&delivery.endpoint_id).is_none() {
            return Err(Violated("a delivery's endpoint must exist").into());
        }
        self.state.deliveries.insert(delivery.id, delivery.clone())
    }

    fn delivery_update(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        if let Some(stored) = self.state.deliveries.get_mut(&delivery.id) {
            *stored = Delivery {
                endpoint_id: stored.endpoint_id,
                partner_id: stored.partner_id,
                kind: stored.kind,
                body: stored.body.clone(),
                created_at: stored.created_at,
                ..delivery.clone()
            };
        }
        Ok(())
    }

    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        (at, reason): (OffsetDateTime, Option<&str>),
        limit: usize,
    ) -> Result<usize, StoreError> {
        let rows = self.state.deliveries.rows();
        let mut pending: Vec<_> = rows
            .filter(|it| it.endpoint_id == endpoint)
            .filter_map(|it| Some((it.due_at?, it.id)))
            .collect();
        pending.sort_unstable();
        pending.truncate(limit);
        for (_, id) in &pending {
            if let Some(it) = self.state.deliveries.get_mut(id) {
                it.status = DeliveryStatus::Failed;
                it.due_at = None;
                it.ended_at = Some(at);
                if let Some(reason) = reason {
                    it.last_answer = Some(LastAnswer {
                        at,
                        status_code: None,
                        excerpt: None,
                        error: Some(reason.to_owned()),
                    });
                }
            }
        }
        Ok(pending.len())
    }

    fn deliveries_redeliver(
        &mut self,
        endpoint: EndpointId,
        (since, until): (OffsetDateTime, Option<OffsetDateTime>),
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let failed = |it: &&Delivery| {
            it.endpoint_id == endpoint
                && it.status == DeliveryStatus::Failed
                && it.kind != EventKind::Test
                && it.created_at >= since
                && until.is_none_or(|until| it.created_at < until)
        };
        let rows = self.state.deliveries.rows().filter(failed);
        let mut found: Vec<_> = rows.map(|it| (it.created_at, it.id)).collect();
        found.sort_unstable();
        found.truncate(limit);
        for (_, id) in &found {
            if let Some(it) = self.state.deliveries.get_mut(id) {
                it.again(at);
            }
        }
        Ok(found.len())
    }

    fn deliveries_make_due(
        &mut self,
        ids: &[DeliveryId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let pending = |it: &Delivery| ids.contains(&it.id) && it.due_at.is_some();
        let deliveries = &mut self.state.deliveries;
        deliveries.change(pending, |it| it.due_at = Some(at));
        Ok(())
    }
}

impl AnnouncementStore for MemoryTx {
    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let place = (subject.to_owned(), ends_at);
        let is_new = self.state.announcements.get(&place).is_none();
        self.state.announcements.put(place.clone(), place);
        Ok(is_new)
    }
}

impl WebhookRetention for MemoryTx {
    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let state = &mut self.state;
        let is_deleted = |state: &State, id| state.live_endpoint(id).is_none();
        let rows = state.deliveries.rows();
        let mut outdated: Vec<_> = rows
            .filter(|it| {
                it.ended_at.is_some_and(|end| end < since) || is_deleted(state, it.endpoint_id)
            })
            .map(|it| {
                (
                    it.ended_at.is_none_or(|end| end >= since),
                    it.ended_at,
                    it.id,
                )
            })
            .collect();
        outdated.sort_unstable();
        outdated.truncate(limit);
        state
            .deliveries
            .retain(|it| !outdated.iter().any(|(_, _, id)| *id == it.id));

        let has_deliveries = |id| state.deliveries.rows().any(|it| it.endpoint_id == id);
        let mut bare: Vec<EndpointId> = state
            .endpoints
            .rows()
            .filter(|row| row.deleted_at.is_some_and(|at| at < since))
            .map(|row| row.endpoint.id)
            .filter(|&id| !has_deliveries(id))
            .collect();
        bare.truncate(limit - outdated.len());
        state
            .endpoints
            .retain(|row| !bare.contains(&row.endpoint.id));

        let ends = state.announcements.rows().map(|&(_, end)| end);
        let mut past: Vec<_> = ends.filter(|&end| end < since).collect();
        past.sort_unstable();
        past.truncate(limit - outdated.len() - bare.len());
        if let Some(&last) = past.last() {
            state.announcements.retain(|&(_, end)| end > last);
        }
        Ok(outdated.len() + bare.len() + past.len())
    }
}
