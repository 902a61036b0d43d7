//! The store traits for deliveries.

use ids::{DeliveryId, EndpointId, Page, PageRequest, PartnerId};
use time::OffsetDateTime;

use crate::Delivery;

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

/// Queries of a store of deliveries.
pub trait DeliveryQueries {
    /// The store's error.
    type Error;

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
}

/// Writes of a store of deliveries; all within the caller's transaction.
pub trait DeliveryStore: DeliveryQueries {
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

    /// Has up to `limit` failed deliveries to an endpoint sent once more, from the beginning of the schedule:
    /// those created at `since` or later and before `until`, the first created first; how many. Tests are
    /// left out.
    fn deliveries_redeliver(
        &mut self,
        endpoint: EndpointId,
        created: (OffsetDateTime, Option<OffsetDateTime>),
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;

    /// Makes pending deliveries due at `at`. On PostgreSQL those that another transaction is about to
    /// change are left out.
    fn deliveries_make_due(
        &mut self,
        ids: &[DeliveryId],
        at: OffsetDateTime,
    ) -> Result<(), Self::Error>;
}
