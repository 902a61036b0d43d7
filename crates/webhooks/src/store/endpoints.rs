//! The store traits for endpoints. Deleted ones are not seen.

use ids::{EndpointId, Page, PageRequest, PartnerId, Ulid};
use time::OffsetDateTime;

use crate::{Endpoint, EventKind, SealedSecrets};

/// A worker's lease of an endpoint: while it lasts, nobody else sends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What proves it.
    pub token: Ulid,
    /// When it ends unless it is renewed.
    pub until: OffsetDateTime,
}

/// Queries of a store of endpoints.
pub trait EndpointQueries {
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

    /// One endpoint and its secrets if the token has leased it.
    fn endpoint_leased(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;
}

/// Writes of a store of endpoints; all within the caller's transaction.
pub trait EndpointStore: EndpointQueries {
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

    /// Writes its URL and events, when and why it was disabled, its failures, its secrets, and until when the
    /// old one signs. A lease stays as it is.
    fn endpoint_update(
        &mut self,
        endpoint: &Endpoint,
        secrets: &SealedSecrets,
    ) -> Result<(), Self::Error>;

    /// Replaces the sealed bytes of an endpoint's secrets by those of `new`, which are the same secrets, if the
    /// one in force still is that of `expected`; `false` when it is not.
    fn endpoint_reseal(
        &mut self,
        id: EndpointId,
        expected: &SealedSecrets,
        new: &SealedSecrets,
    ) -> Result<bool, Self::Error>;

    /// Writes the failures of an endpoint, and nothing else.
    fn endpoint_failures(&mut self, endpoint: &Endpoint) -> Result<(), Self::Error>;

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

    /// The same as [`EndpointQueries::endpoint_leased`], locked against other writers until the
    /// transaction ends. A worker's write begins with this.
    fn endpoint_leased_for_update(
        &mut self,
        id: EndpointId,
        token: Ulid,
    ) -> Result<Option<(Endpoint, SealedSecrets)>, Self::Error>;

    /// Ends the token's lease of an endpoint.
    fn endpoint_lease_release(&mut self, id: EndpointId, token: Ulid) -> Result<(), Self::Error>;

    /// Has up to `limit` leases end at `at` that would end after `later_than`; how many.
    fn endpoint_leases_shorten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;
}
