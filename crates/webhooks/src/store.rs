//! What a store of endpoints and deliveries must offer.

use ids::{DeliveryId, EndpointId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use time::OffsetDateTime;

use crate::{Delivery, Endpoint, EventKind, SealedSecrets};

/// A worker's hold on an endpoint: while it lasts, nobody else sends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What proves it.
    pub token: Ulid,
    /// When it ends unless it is renewed.
    pub until: OffsetDateTime,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deliveries are pending.
    pub pending: u64,
    /// Since when the longest waiting of them has been due.
    pub due_since: Option<OffsetDateTime>,
}

/// Questions to a store of webhooks. Deleted endpoints are not seen.
pub trait WebhookQueries {
    /// What can go wrong in the store.
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

    /// Those endpoints of a partner that are to be told of this.
    fn listeners(
        &mut self,
        partner: PartnerId,
        kind: EventKind,
    ) -> Result<Vec<EndpointId>, Self::Error>;

    /// The same for many questions, in their order.
    fn listeners_of(
        &mut self,
        questions: &[(PartnerId, EventKind)],
    ) -> Result<Vec<Vec<EndpointId>>, Self::Error> {
        questions
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

    /// When the next delivery falls due to an endpoint that nobody holds at `now`.
    fn next_delivery_due(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// How much there is to do at `now`.
    fn backlog(&mut self, now: OffsetDateTime) -> Result<Backlog, Self::Error>;

    /// Up to `limit` keys that end after `from` and not after `until`, the first to end first: those
    /// that are not revoked and of which no end after `from` is noted.
    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, Self::Error>;

    /// The same of orgs: those that are not going or gone.
    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, Self::Error>;
}

/// Changes to a store of webhooks; all within the caller's transaction.
pub trait WebhookStore: WebhookQueries {
    /// Adds an endpoint. The caller has made sure that its partner exists.
    fn endpoint_insert(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), Self::Error>;

    /// One endpoint of a partner and its secrets, held against every other writer until the
    /// transaction ends.
    fn endpoint_for_update(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Writes when it was disabled, its secrets, and until when the old one signs. A hold stays as it
    /// is.
    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), Self::Error>;

    /// Takes an endpoint out of sight, and its secrets away; `false` when there is none.
    fn endpoint_delete(
        &mut self,
        partner: PartnerId,
        id: EndpointId,
        at: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// Takes up to `limit` endpoints that nobody holds and that have deliveries due at `now`, the
    /// longest due first.
    fn endpoints_hold(
        &mut self,
        now: OffsetDateTime,
        hold: Hold,
        limit: usize,
    ) -> Result<Vec<EndpointId>, Self::Error>;

    /// Prolongs the holds that this token still has.
    fn hold_renew(&mut self, hold: Hold) -> Result<(), Self::Error>;

    /// One endpoint and its secrets if the token still holds it, held against every other writer until
    /// the transaction ends. Whoever writes as a worker starts with this.
    fn endpoint_held(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Ends the token's hold on an endpoint.
    fn hold_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), Self::Error>;

    /// Adds a delivery.
    fn delivery_insert(&mut self, delivery: &Delivery) -> Result<(), Self::Error>;

    /// Writes how a delivery stands; what it says stays.
    fn delivery_update(&mut self, delivery: &Delivery) -> Result<(), Self::Error>;

    /// Up to `limit` deliveries to an endpoint that are due at `now`, the longest due first.
    fn deliveries_due(
        &mut self,
        endpoint: EndpointId,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Delivery>, Self::Error>;

    /// Gives up all deliveries to an endpoint that are pending.
    fn deliveries_give_up(
        &mut self,
        endpoint: EndpointId,
        at: OffsetDateTime,
    ) -> Result<(), Self::Error>;

    /// Notes that the end of something is announced; `false` when this end was noted before.
    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// Forgets up to `limit` deliveries that ended before `since` or were to endpoints that are
    /// deleted, then deleted endpoints that have none left, then announcements of ends before `since`;
    /// tells how many of all these.
    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;
}
