//! The store trait for endpoints and deliveries.

use ids::{DeliveryId, EndpointId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use time::OffsetDateTime;

use crate::{Delivery, Endpoint, EventKind, SealedSecrets};

/// A worker's lease of an endpoint: while it lasts, nobody else sends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What proves it.
    pub token: Ulid,
    /// When it ends unless it is renewed.
    pub until: OffsetDateTime,
}

/// An endpoint with pending deliveries that nobody has leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// When the first of its deliveries is due.
    pub due_at: OffsetDateTime,
}

/// A delivery that will be tried, as far as its next attempt is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// How often it was tried since it was created or redelivered.
    pub tries: u32,
    /// When it is due.
    pub due_at: OffsetDateTime,
}

/// The result of one search for pending endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingEndpoints {
    /// The endpoints, sorted by partner and id.
    pub endpoints: Vec<PendingEndpoint>,
    /// The partner behind which the next search goes on; none when this one came to the end.
    pub after: Option<PartnerId>,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deliveries are pending, counted up to the limit that was asked for.
    pub pending: u64,
    /// Since when the longest waiting of them has been due.
    pub due_since: Option<OffsetDateTime>,
}

/// Queries of a store of webhooks. Deleted endpoints are not seen.
pub trait WebhookQueries {
    /// The store's error.
    type Error;

    /// One endpoint of a partner.
    fn endpoint(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, Self::Error>;

    /// The endpoints of a partner, newest first.
    fn endpoints(
        &mut self,
        partner: PartnerId,
        page: PageRequest,
    ) -> Result<Page<Endpoint>, Self::Error>;

    /// The endpoints of a partner that listen to this kind of event.
    fn listeners(
        &mut self,
        partner: PartnerId,
        kind: EventKind,
    ) -> Result<Vec<EndpointId>, Self::Error>;

    /// The same for many, in their order.
    fn listeners_of(
        &mut self,
        queries: &[(PartnerId, EventKind)],
    ) -> Result<Vec<Vec<EndpointId>>, Self::Error> {
        queries
            .iter()
            .map(|&(partner, kind)| self.listeners(partner, kind))
            .collect()
    }

    /// The secrets of up to `limit` endpoints of all partners, in the order of the endpoints' ids.
    fn sealed_secrets(
        &mut self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<(EndpointId, SealedSecrets)>, Self::Error>;

    /// One delivery to an endpoint of a partner.
    fn delivery(
        &mut self,
        endpoint: (PartnerId, EndpointId),
        id: DeliveryId,
    ) -> Result<Option<Delivery>, Self::Error>;

    /// The deliveries to an endpoint of a partner, newest first.
    fn deliveries(
        &mut self,
        endpoint: (PartnerId, EndpointId),
        page: PageRequest,
    ) -> Result<Page<Delivery>, Self::Error>;

    /// When the first of all pending deliveries is due, whoever has leased its endpoint.
    fn next_delivery_due(&mut self) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// The endpoints with pending deliveries that nobody has leased at `now`, of the first `partners`
    /// partners behind `after` that have any. The work is bounded by the number of partners, and not
    /// by the number of deliveries.
    fn endpoints_pending(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        partners: usize,
    ) -> Result<PendingEndpoints, Self::Error>;

    /// One endpoint and its secrets if the token has leased it.
    fn endpoint_leased(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Up to `limit` deliveries to an endpoint that are due at `now`, the longest due first.
    fn deliveries_due(
        &mut self,
        endpoint: EndpointId,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Delivery>, Self::Error>;

    /// How many deliveries to an endpoint are pending, counted up to `limit`.
    fn pending_count(&mut self, endpoint: EndpointId, limit: usize) -> Result<usize, Self::Error>;

    /// Up to `limit` pending deliveries that are due after a time, or at that time and have a greater
    /// id, sorted by time and id.
    fn deliveries_due_after(
        &mut self,
        after: (OffsetDateTime, DeliveryId),
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, Self::Error>;

    /// How much there is to do at `now`; up to `limit` deliveries are counted.
    fn backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<Backlog, Self::Error>;

    /// Up to `limit` keys that end after `from` and not after `until`, the first to end first: those
    /// that are not revoked and of which no end after `from` is noted.
    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, Self::Error>;

    /// The same of orgs: those that are not deleted or being deleted.
    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, Self::Error>;
}

/// Writes of a store of webhooks; all within the caller's transaction.
pub trait WebhookStore: WebhookQueries {
    /// Adds an endpoint. The caller has made sure that its partner exists.
    fn endpoint_insert(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), Self::Error>;

    /// One endpoint of a partner and its secrets, locked against other writers until the transaction ends.
    fn endpoint_for_update(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Writes when it was disabled, its secrets, and until when the old one signs. A lease stays as it
    /// is.
    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), Self::Error>;

    /// Deletes an endpoint and its secrets; `false` when there is none.
    fn endpoint_delete(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
        at: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// Leases those of these endpoints that are there and that nobody has leased at `now`; which they
    /// are, in the order of the query.
    fn endpoints_lease(
        &mut self,
        ids: &[EndpointId],
        now: OffsetDateTime,
        lease: Lease,
    ) -> Result<Vec<EndpointId>, Self::Error>;

    /// Renews the token's lease of an endpoint, if it still has it.
    fn endpoint_lease_renew(&mut self, id: EndpointId, lease: Lease) -> Result<(), Self::Error>;

    /// The same as [`WebhookQueries::endpoint_leased`], locked against other writers until the
    /// transaction ends. A worker's write begins with this.
    fn endpoint_leased_for_update(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Ends the token's lease of an endpoint.
    fn endpoint_lease_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), Self::Error>;

    /// Adds a delivery.
    fn delivery_insert(&mut self, delivery: &Delivery) -> Result<(), Self::Error>;

    /// Writes the state of a delivery; its body stays.
    fn delivery_update(&mut self, delivery: &Delivery) -> Result<(), Self::Error>;

    /// Gives up to `limit` pending deliveries to an endpoint up, the longest due first; how many.
    /// `how` is when, and why: with a reason, that is what their last answer says.
    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        how: (OffsetDateTime, Option<&str>),
        limit: usize,
    ) -> Result<usize, Self::Error>;

    /// Makes pending deliveries due at `at`. On PostgreSQL those that another transaction is about to
    /// change are left out.
    fn deliveries_make_due(
        &mut self,
        ids: &[DeliveryId],
        at: OffsetDateTime,
    ) -> Result<(), Self::Error>;

    /// Has up to `limit` leases end at `at` that would end after `later_than`; how many.
    fn endpoint_leases_shorten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;

    /// Records that an end was announced; `false` when this one was recorded before.
    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// Deletes up to `limit` deliveries that ended before `since` or were to endpoints that are
    /// deleted, then deleted endpoints that have none left, then announcements of ends before `since`;
    /// how many of all these.
    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;
}
