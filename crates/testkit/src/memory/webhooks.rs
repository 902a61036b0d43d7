//! Webhook endpoints and deliveries in memory.

use ids::{DeliveryId, EndpointId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{
    Backlog, Delivery, DeliveryStatus, Endpoint, EventKind, Hold, SealedSecrets, WebhookQueries,
    WebhookStore,
};

use super::{
    session::{EndpointRow, MemoryTx, Session, State},
    table::Violated,
};

impl State {
    /// The row of an endpoint that is not deleted.
    fn live_endpoint(&self, id: EndpointId) -> Option<&EndpointRow> {
        self.endpoints
            .get(&id)
            .filter(|row| row.deleted_at.is_none())
    }

    /// Deliveries that are due some time, to endpoints that are free.
    fn free_deliveries(
        &self,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = (&Delivery, OffsetDateTime)> {
        self.deliveries
            .rows()
            .filter_map(|delivery| Some((delivery, delivery.due_at?)))
            .filter(move |(delivery, _)| {
                let row = self.live_endpoint(delivery.endpoint_id);
                row.is_some_and(|row| row.hold.is_none_or(|hold| hold.until <= now))
            })
    }
}

impl State {
    /// Whether an end of this after `from` has been announced.
    fn is_announced(&self, subject: impl ToString, from: OffsetDateTime) -> bool {
        let subject = subject.to_string();
        let mut rows = self.announcements.rows();
        rows.any(|(told, end)| *told == subject && *end > from)
    }
}

impl<Mode> WebhookQueries for Session<Mode> {
    type Error = StoreError;

    fn endpoint(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let row = self.state.live_endpoint(id);
        let row = row.filter(|row| row.endpoint.partner_id == partner);
        Ok(row.map(|row| row.endpoint.clone()))
    }

    fn endpoints(
        &mut self,
        partner: PartnerId,
        page: PageRequest,
    ) -> Result<Page<Endpoint>, StoreError> {
        let wanted =
            |row: &EndpointRow| row.endpoint.partner_id == partner && row.deleted_at.is_none();
        let page = self.state.endpoints.page(page, wanted);
        Ok(page.map(|row| row.endpoint))
    }

    fn listeners(
        &mut self,
        partner: PartnerId,
        kind: EventKind,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let rows = self.state.endpoints.rows();
        let live = rows
            .filter(|row| row.deleted_at.is_none())
            .map(|row| &row.endpoint);
        let listens = |endpoint: &&Endpoint| {
            endpoint.partner_id == partner
                && endpoint.disabled_at.is_none()
                && endpoint.events.contain(kind)
        };
        Ok(live.filter(listens).map(|endpoint| endpoint.id).collect())
    }

    fn sealed_secrets(
        &mut self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<(EndpointId, SealedSecrets)>, StoreError> {
        let rows = self.state.endpoints.rows();
        let live = rows.filter(|row| row.deleted_at.is_none());
        let behind = live.filter(|row| after.is_none_or(|after| row.endpoint.id > after));
        let secrets = behind.filter_map(|row| Some((row.endpoint.id, row.secrets.clone()?)));
        Ok(secrets.take(limit).collect())
    }

    fn delivery(
        &mut self,
        (partner, endpoint): (PartnerId, EndpointId),
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let found = self.state.deliveries.get(&id);
        let found = found.filter(|it| (it.partner_id, it.endpoint_id) == (partner, endpoint));
        Ok(found.cloned())
    }

    fn deliveries(
        &mut self,
        (partner, endpoint): (PartnerId, EndpointId),
        page: PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let wanted = |it: &Delivery| (it.partner_id, it.endpoint_id) == (partner, endpoint);
        Ok(self.state.deliveries.page(page, wanted))
    }

    fn next_delivery_due(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        Ok(self.state.free_deliveries(now).map(|(_, due)| due).min())
    }

    fn backlog(&mut self, now: OffsetDateTime) -> Result<Backlog, StoreError> {
        let due = self.state.deliveries.rows().filter_map(|it| it.due_at);
        let due: Vec<OffsetDateTime> = due.collect();
        Ok(Backlog {
            pending: due.len().try_into().unwrap(),
            due_since: due.into_iter().filter(|&at| at <= now).min(),
        })
    }

    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        let rows = self.state.keys.rows().map(|row| &row.key);
        let mut ending: Vec<_> = rows
            .filter(|key| key.revoked_at.is_none())
            .filter_map(|key| Some((key.expires_at?, key.id)))
            .filter(|&(end, _)| end > from && end <= until)
            .filter(|&(_, id)| !self.state.is_announced(id, from))
            .collect();
        ending.sort_unstable();
        ending.truncate(limit);
        Ok(ending.into_iter().map(|(_, id)| id).collect())
    }

    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, StoreError> {
        let rows = self.state.orgs.rows().map(|row| &row.org);
        let mut ending: Vec<_> = rows
            .filter(|org| org.status.is_staying())
            .filter_map(|org| Some((org.expires_at?, org.id)))
            .filter(|&(end, _)| end > from && end <= until)
            .filter(|&(_, id)| !self.state.is_announced(id, from))
            .collect();
        ending.sort_unstable();
        ending.truncate(limit);
        Ok(ending.into_iter().map(|(_, id)| id).collect())
    }
}

impl WebhookStore for MemoryTx {
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
            hold: None,
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
            row.endpoint.disabled_at = endpoint.disabled_at;
            row.endpoint.old_secret_until = endpoint.old_secret_until;
            row.secrets = Some(secrets.clone());
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

    fn endpoints_hold(
        &mut self,
        now: OffsetDateTime,
        hold: Hold,
        limit: usize,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let due = self
            .state
            .free_deliveries(now)
            .filter(|&(_, due)| due <= now);
        let mut due: Vec<_> = due.map(|(it, due)| (due, it.endpoint_id)).collect();
        due.sort_unstable();
        let mut held = Vec::new();
        for (_, id) in due {
            if !held.contains(&id) && held.len() < limit {
                held.push(id);
            }
        }
        for id in &held {
            if let Some(row) = self.state.endpoints.get_mut(id) {
                row.hold = Some(hold);
            }
        }
        Ok(held)
    }

    fn hold_renew(&mut self, hold: Hold) -> Result<(), StoreError> {
        let held = |row: &EndpointRow| holds(row, hold.token);
        self.state
            .endpoints
            .change(held, |row| row.hold = Some(hold));
        Ok(())
    }

    fn endpoint_held(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let row = self.state.live_endpoint(id);
        Ok(row.filter(|row| holds(row, token)).and_then(with_secrets))
    }

    fn hold_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), StoreError> {
        let held = |row: &EndpointRow| row.endpoint.id == id && holds(row, token);
        self.state.endpoints.change(held, |row| row.hold = None);
        Ok(())
    }

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

    fn deliveries_due(
        &mut self,
        endpoint: EndpointId,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = self.state.deliveries.rows();
        let mut due: Vec<&Delivery> = rows
            .filter(|it| it.endpoint_id == endpoint && it.due_at.is_some_and(|at| at <= now))
            .collect();
        due.sort_by_key(|it| (it.due_at, it.id));
        Ok(due.into_iter().take(limit).cloned().collect())
    }

    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let pending = |it: &Delivery| it.endpoint_id == endpoint && it.due_at.is_some();
        self.state.deliveries.change(pending, |it| {
            it.status = DeliveryStatus::Failed;
            it.due_at = None;
            it.ended_at = Some(at);
        });
        Ok(())
    }

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

fn holds(row: &EndpointRow, token: Ulid) -> bool {
    row.hold.is_some_and(|hold| hold.token == token)
}

fn with_secrets(row: &EndpointRow) -> Option<(Endpoint, SealedSecrets)> {
    Some((row.endpoint.clone(), row.secrets.clone()?))
}
