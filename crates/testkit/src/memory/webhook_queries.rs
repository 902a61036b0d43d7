//! Questions about webhook endpoints and deliveries in memory.

use std::collections::BTreeSet;

use ids::{DeliveryId, EndpointId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{
    AnnouncementQueries, Backlog, Delivery, DeliveryQueries, Endpoint, EndpointQueries, EventKind,
    PendingDelivery, PendingEndpoint, PendingEndpoints, SealedSecrets,
};

use super::session::{EndpointRow, Session, State};

impl State {
    /// The row of an endpoint that is not deleted.
    pub(super) fn live_endpoint(&self, id: EndpointId) -> Option<&EndpointRow> {
        self.endpoints
            .get(&id)
            .filter(|row| row.deleted_at.is_none())
    }

    /// When the first of the pending deliveries to an endpoint is due.
    fn first_due(&self, id: EndpointId) -> Option<OffsetDateTime> {
        let deliveries = self.deliveries.rows();
        let to_it = deliveries.filter(|delivery| delivery.endpoint_id == id);
        to_it.filter_map(|delivery| delivery.due_at).min()
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

impl<Mode> EndpointQueries for Session<Mode> {
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

    fn endpoint_leased(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        let row = self.state.live_endpoint(id);
        Ok(row.filter(|row| holds(row, token)).and_then(with_secrets))
    }
}

impl<Mode> DeliveryQueries for Session<Mode> {
    type Error = StoreError;

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

    fn next_delivery_due(&mut self) -> Result<Option<OffsetDateTime>, StoreError> {
        let deliveries = self.state.deliveries.rows();
        Ok(deliveries.filter_map(|it| it.due_at).min())
    }

    fn endpoints_pending(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        partners: usize,
    ) -> Result<PendingEndpoints, StoreError> {
        let pending = self.state.deliveries.rows();
        let pending = pending.filter(|it| it.due_at.is_some());
        let seen: BTreeSet<PartnerId> = pending
            .map(|it| it.partner_id)
            .filter(|&partner| after.is_none_or(|after| partner > after))
            .collect();
        let seen: Vec<PartnerId> = seen.into_iter().take(partners).collect();
        let mut endpoints = Vec::new();
        for row in self.state.endpoints.rows() {
            let Endpoint { id, partner_id, .. } = row.endpoint;
            let is_free = row.lease.is_none_or(|lease| lease.until <= now);
            if row.deleted_at.is_none()
                && is_free
                && seen.contains(&partner_id)
                && let Some(due_at) = self.state.first_due(id)
            {
                endpoints.push(PendingEndpoint {
                    id,
                    partner_id,
                    due_at,
                });
            }
        }
        endpoints.sort_by_key(|it| (it.partner_id, it.id));
        Ok(PendingEndpoints {
            endpoints,
            after: seen.last().copied().filter(|_| seen.len() >= partners),
        })
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

    fn pending_count(&mut self, endpoint: EndpointId, limit: usize) -> Result<usize, StoreError> {
        let rows = self.state.deliveries.rows();
        let pending = rows.filter(|it| it.endpoint_id == endpoint && it.due_at.is_some());
        Ok(pending.count().min(limit))
    }

    fn deliveries_due_after(
        &mut self,
        after: (OffsetDateTime, DeliveryId),
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        let rows = self.state.deliveries.rows();
        let pending = rows.filter_map(|it| Some((it.due_at?, it.id, it.tries)));
        let mut ahead: Vec<_> = pending.filter(|&(due, id, _)| (due, id) > after).collect();
        ahead.sort_unstable();
        ahead.truncate(limit);
        let told = |(due_at, id, tries)| PendingDelivery { id, tries, due_at };
        Ok(ahead.into_iter().map(told).collect())
    }

    fn backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<Backlog, StoreError> {
        let due = self.state.deliveries.rows().filter_map(|it| it.due_at);
        let due: Vec<OffsetDateTime> = due.collect();
        Ok(Backlog {
            pending: due.len().min(limit).try_into().unwrap(),
            due_since: due.into_iter().filter(|&at| at <= now).min(),
        })
    }
}

impl<Mode> AnnouncementQueries for Session<Mode> {
    type Error = StoreError;

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
            .filter(|org| org.status.is_deletable())
            .filter_map(|org| Some((org.expires_at?, org.id)))
            .filter(|&(end, _)| end > from && end <= until)
            .filter(|&(_, id)| !self.state.is_announced(id, from))
            .collect();
        ending.sort_unstable();
        ending.truncate(limit);
        Ok(ending.into_iter().map(|(_, id)| id).collect())
    }
}

pub(super) fn holds(row: &EndpointRow, token: Ulid) -> bool {
    row.lease.is_some_and(|lease| lease.token == token)
}

pub(super) fn with_secrets(row: &EndpointRow) -> Option<(Endpoint, SealedSecrets)> {
    Some((row.endpoint.clone(), row.secrets.clone()?))
}
