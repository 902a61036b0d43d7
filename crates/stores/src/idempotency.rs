//! Answers that are kept for a while, so that a call that is sent again gets the same one.

use ids::{AdminKeyId, KeyId};
use time::OffsetDateTime;

use crate::StoreError;

/// Which call an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyId {
    /// The credential that called, `pak_…` or `adm_…`.
    credential: String,
    /// SHA-256 of what names the call: its method, path and idempotency key.
    call: [u8; 32],
}

impl IdempotencyId {
    /// A call by a partner key.
    #[must_use]
    pub fn of_key(id: KeyId, call: [u8; 32]) -> Self {
        Self {
            credential: id.to_string(),
            call,
        }
    }

    /// A call by an admin key.
    #[must_use]
    pub fn of_admin(id: AdminKeyId, call: [u8; 32]) -> Self {
        Self {
            credential: id.to_string(),
            call,
        }
    }

    /// The credential's id.
    #[must_use]
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// The digest of what names the call.
    #[must_use]
    pub const fn call(&self) -> &[u8; 32] {
        &self.call
    }
}

/// An answer that is kept, or the place for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// SHA-256 of the body that it answers.
    pub body: [u8; 32],
    /// The answer, sealed; `None` when it has been erased.
    pub sealed: Option<Vec<u8>>,
}

/// Kept answers; all within the caller's transaction.
pub trait IdempotencyStore {
    /// Takes the place for a call's answer. When an answer is kept there that was begun at `since` or
    /// later, that one is returned and nothing is taken; an older one is forgotten.
    ///
    /// Of many who take one place at once, the others wait for the first one's transaction.
    fn idempotency_begin(
        &mut self,
        id: &IdempotencyId,
        body: &[u8; 32],
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StoreError>;

    /// Puts the answer in the place that this transaction took. `issued` is the key whose secret it
    /// shows, if it shows one.
    fn idempotency_store(
        &mut self,
        id: &IdempotencyId,
        sealed: &[u8],
        issued: Option<KeyId>,
    ) -> Result<(), StoreError>;

    /// Erases the answer that shows the secret of this key; its place stays taken.
    fn idempotency_erase(&mut self, issued: KeyId) -> Result<(), StoreError>;

    /// Forgets up to `limit` answers that were begun before `since`, and tells how many there were.
    fn idempotency_expire(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError>;
}
