//! The store of webhooks: where each question and each change is found.

use ids::{DeliveryId, EndpointId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use stores::StoreError;
use time::OffsetDateTime;
use webhooks::{
    Backlog, Delivery, Endpoint, EventKind, Lease, PendingDelivery, PendingEndpoints,
    SealedSecrets, WebhookQueries, WebhookStore,
};

use crate::{
    announcements,
    session::{Session, Writing},
    webhook_deliveries as deliveries, webhook_endpoints as endpoints, webhook_work as work,
};

impl<M> WebhookQueries for Session<M> {
    type Error = StoreError;

    fn endpoint(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        endpoints::by_id(self, partner, id)
    }

    fn endpoints(
        &mut self,
        partner: PartnerId,
        page: PageRequest,
    ) -> Result<Page<Endpoint>, StoreError> {
        endpoints::list(self, partner, page)
    }

    fn listeners(
        &mut self,
        partner: PartnerId,
        kind: EventKind,
    ) -> Result<Vec<EndpointId>, StoreError> {
        let told = endpoints::listeners_of(self, &[(partner, kind)])?.pop();
        Ok(told.unwrap_or_default())
    }

    fn listeners_of(
        &mut self,
        questions: &[(PartnerId, EventKind)],
    ) -> Result<Vec<Vec<EndpointId>>, StoreError> {
        endpoints::listeners_of(self, questions)
    }

    fn sealed_secrets(
        &mut self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<(EndpointId, SealedSecrets)>, StoreError> {
        endpoints::sealed_secrets(self, after, limit)
    }

    fn delivery(
        &mut self,
        endpoint: (PartnerId, EndpointId),
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        deliveries::by_id(self, endpoint, id)
    }

    fn deliveries(
        &mut self,
        endpoint: (PartnerId, EndpointId),
        page: PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        deliveries::list(self, endpoint, page)
    }

    fn next_delivery_due(&mut self) -> Result<Option<OffsetDateTime>, StoreError> {
        deliveries::next_due(self)
    }

    fn endpoints_pending(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        partners: usize,
    ) -> Result<PendingEndpoints, StoreError> {
        work::pending(self, now, after, partners)
    }

    fn endpoint_leased(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        work::leased(self, id, token)
    }

    fn deliveries_due(
        &mut self,
        endpoint: EndpointId,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        deliveries::due(self, endpoint, now, limit)
    }

    fn pending_count(&mut self, endpoint: EndpointId, limit: usize) -> Result<usize, StoreError> {
        deliveries::pending_count(self, endpoint, limit)
    }

    fn deliveries_due_after(
        &mut self,
        after: (OffsetDateTime, DeliveryId),
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        deliveries::ahead(self, after, limit)
    }

    fn backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<Backlog, StoreError> {
        deliveries::backlog(self, now, limit)
    }

    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        announcements::keys(self, from, until, limit)
    }

    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, StoreError> {
        announcements::orgs(self, from, until, limit)
    }
}

impl WebhookStore for Session<Writing> {
    fn endpoint_insert(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        endpoints::insert(self, endpoint, secrets)
    }

    fn endpoint_for_update(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        endpoints::lock(self, partner, id)
    }

    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), StoreError> {
        endpoints::update(self, endpoint, secrets)
    }

    fn endpoint_delete(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
        at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        endpoints::delete(self, partner, id, at)
    }

    fn endpoints_lease(
        &mut self,
        ids: &[EndpointId],
        now: OffsetDateTime,
        lease: Lease,
    ) -> Result<Vec<EndpointId>, StoreError> {
        work::lease(self, ids, now, lease)
    }

    fn endpoint_lease_renew(&mut self, id: EndpointId, lease: Lease) -> Result<(), StoreError> {
        work::renew(self, id, lease)
    }

    fn endpoint_leased_for_update(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, StoreError> {
        work::leased_for_update(self, id, token)
    }

    fn endpoint_lease_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), StoreError> {
        work::release(self, id, token)
    }

    fn delivery_insert(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        deliveries::insert(self, delivery)
    }

    fn delivery_update(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        deliveries::update(self, delivery)
    }

    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        how: (OffsetDateTime, Option<&str>),
        limit: usize,
    ) -> Result<usize, StoreError> {
        deliveries::give_up(self, endpoint, how, limit)
    }

    fn deliveries_make_due(
        &mut self,
        ids: &[DeliveryId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        deliveries::hasten(self, ids, at)
    }

    fn endpoint_leases_shorten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        work::shorten(self, later_than, at, limit)
    }

    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        announcements::insert(self, subject, ends_at)
    }

    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        work::forget(self, since, limit)
    }
}
