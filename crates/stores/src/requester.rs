//! On whose behalf a list is read.

use ids::{AdminKeyId, KeyId, PartnerId, TypedId as _, Ulid};

/// On whose behalf something is read: the owner has a share, and its credentials take turns within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// A partner, or an admin key, which stands for itself.
    pub owner: Ulid,
    /// The key.
    pub credential: Ulid,
}

impl Requester {
    /// A partner key.
    #[must_use]
    pub fn partner_key(partner: PartnerId, key: KeyId) -> Self {
        Self {
            owner: partner.ulid(),
            credential: key.ulid(),
        }
    }

    /// An admin key.
    #[must_use]
    pub fn admin_key(key: AdminKeyId) -> Self {
        Self {
            owner: key.ulid(),
            credential: key.ulid(),
        }
    }
}
