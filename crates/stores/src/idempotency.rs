//! Stored responses: a duplicate of a request with an idempotency key gets the first one's.

use ids::{AdminKeyId, KeyId};
use time::OffsetDateTime;

use crate::StoreError;

/// Which request a stored response belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyId {
    /// The credential, `pak_…` or `adm_…`.
    credential: String,
    /// SHA-256 of the method, path and idempotency key.
    request: [u8; 32],
}

impl IdempotencyId {
    /// A request by a partner key.
    #[must_use]
    pub fn of_key(id: KeyId, request: [u8; 32]) -> Self {
        Self {
            credential: id.to_string(),
            request,
        }
    }

    /// A request by an admin key.
    #[must_use]
    pub fn of_admin(id: AdminKeyId, request: [u8; 32]) -> Self {
        Self {
            credential: id.to_string(),
            request,
        }
    }

    /// A request as it is stored: the id of its credential, and the digest of its method, path and key.
    #[must_use]
    pub const fn stored(credential: String, request: [u8; 32]) -> Self {
        Self {
            credential,
            request,
        }
    }

    /// The credential's id.
    #[must_use]
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// SHA-256 of the method, path and idempotency key.
    #[must_use]
    pub const fn request(&self) -> &[u8; 32] {
        &self.request
    }
}

/// A stored response, or the place for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// SHA-256 of the request's body.
    pub body: [u8; 32],
    /// The response, sealed; `None` when it has been erased.
    pub sealed: Option<Vec<u8>>,
}

/// A secret that a response shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedSecret {
    /// Its key.
    pub key: KeyId,
    /// When it was made, which tells it from the key's other secrets.
    pub created_at: OffsetDateTime,
}

/// Queries for stored responses.
pub trait IdempotencyQueries {
    /// Up to `limit` responses that are not erased, of the first requests behind `after`, in the order of
    /// credentials and requests.
    fn sealed_responses(
        &mut self,
        after: Option<&IdempotencyId>,
        limit: usize,
    ) -> Result<Vec<(IdempotencyId, Vec<u8>)>, StoreError>;
}

/// The store trait for responses; all within the caller's transaction.
pub trait IdempotencyStore: IdempotencyQueries {
    /// Reserves the place of a request's response. When a response is stored there that was begun at `since` or
    /// later, it is returned and nothing is reserved; an older one is deleted.
    ///
    /// Of several transactions that reserve one place, the others wait for the first.
    fn idempotency_begin(
        &mut self,
        id: &IdempotencyId,
        body: &[u8; 32],
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StoreError>;

    /// Stores the response in the place that this transaction has reserved. `issued` is the secret that it
    /// shows, if it shows one.
    fn idempotency_store(
        &mut self,
        id: &IdempotencyId,
        sealed: &[u8],
        issued: Option<IssuedSecret>,
    ) -> Result<(), StoreError>;

    /// Erases the responses that show secrets of this key; their places stay reserved.
    fn idempotency_erase(&mut self, key: KeyId) -> Result<(), StoreError>;

    /// Erases the response that shows this secret; its place stays reserved.
    fn idempotency_erase_secret(&mut self, issued: IssuedSecret) -> Result<(), StoreError>;

    /// Replaces a sealed response by `new`, if it still is `expected`; `false` when it is not, or when another
    /// transaction is about to change it.
    fn idempotency_reseal(
        &mut self,
        id: &IdempotencyId,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError>;

    /// Deletes up to `limit` responses that were begun before `since`; how many there were.
    fn idempotency_expire(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError>;
}
