//! The store traits for admin keys.

use ids::AdminKeyId;
use time::OffsetDateTime;

use crate::{AdminKey, KeyDigest};

/// Queries of a store of admin keys.
pub trait AdminKeyQueries {
    /// The store's error.
    type Error;

    /// The admin key stored under any of these digests, whatever its status.
    fn admin_key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<AdminKey>, Self::Error>;

    /// The admin keys stored under these digests, whatever their status, each with the digest that it
    /// is stored under.
    fn admin_keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, AdminKey)>, Self::Error>;

    /// One admin key.
    fn admin_key(&mut self, id: AdminKeyId) -> Result<Option<AdminKey>, Self::Error>;

    /// All admin keys, newest first.
    fn admin_keys(&mut self) -> Result<Vec<AdminKey>, Self::Error>;
}

/// Writes of a store of admin keys; all within the caller's transaction.
///
/// All but the renewal of a digest raise the revision of keys in the same transaction, and are logged under
/// it: a cache may remember that a digest belongs to no key.
pub trait AdminKeyStore: AdminKeyQueries {
    /// Adds an admin key.
    fn admin_key_insert(&mut self, key: &AdminKey, digest: &KeyDigest) -> Result<(), Self::Error>;

    /// Revokes an admin key; `false` when it was revoked already or is not there.
    fn admin_key_revoke(&mut self, id: AdminKeyId, at: OffsetDateTime)
    -> Result<bool, Self::Error>;

    /// Takes a revoked admin key into use again.
    fn admin_key_restore(&mut self, id: AdminKeyId) -> Result<(), Self::Error>;

    /// Replaces an admin key's digest, if it still is `from`; `false` when it is not.
    fn admin_key_digest_renew(
        &mut self,
        id: AdminKeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, Self::Error>;
}
