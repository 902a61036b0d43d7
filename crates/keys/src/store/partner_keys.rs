//! The store traits for partner keys.

use std::sync::Arc;

use ids::{KeyId, Page, PageRequest, PartnerId};
use time::OffsetDateTime;

use crate::{KeyDigest, KeyStatus, KeyWithPartner, OnRevoke, PartnerKey, RevocationReason};

/// Which keys a caller asks for. It says nothing of what the caller may see: that is for the use case to add.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyListRequest {
    /// Keys of this partner.
    pub partner_id: Option<PartnerId>,
    /// Keys that have this status at this time.
    pub status: Option<(KeyStatus, OffsetDateTime)>,
}

/// Which keys a store lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFilter {
    /// Those of this partner alone.
    pub partner_id: Option<PartnerId>,
    /// This one alone.
    pub id: Option<KeyId>,
    /// Those that have this status at this time.
    pub status: Option<(KeyStatus, OffsetDateTime)>,
}

impl KeyFilter {
    /// Whether the key is to be listed.
    #[must_use]
    pub fn includes(&self, key: &PartnerKey) -> bool {
        self.partner_id.is_none_or(|id| key.partner_id == id)
            && self.id.is_none_or(|id| key.id == id)
            && self.status.is_none_or(|(is, at)| key.status(at) == is)
    }
}

/// Queries of a store of partner keys.
pub trait KeyQueries {
    /// The store's error.
    type Error;

    /// The key stored under any of these digests, whatever its status.
    fn key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<KeyWithPartner>, Self::Error>;

    /// The keys stored under these digests, whatever their status, each with the digest that it is
    /// stored under.
    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, KeyWithPartner)>, Self::Error>;

    /// One key.
    fn key(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, Self::Error>;

    /// Keys, newest first.
    fn keys(
        &mut self,
        filter: &KeyFilter,
        page: PageRequest,
    ) -> Result<Page<PartnerKey>, Self::Error>;

    /// The key whose orgs have been pending deletion the longest.
    fn key_with_orgs_pending_deletion(&mut self) -> Result<Option<KeyId>, Self::Error>;
}

/// Writes of a store of partner keys; all within the caller's transaction.
///
/// Every update and revocation raises the revision of keys in the same transaction, and is logged under it
/// for [`KeyChangeQueries`](crate::KeyChangeQueries). New keys and records of use need no revision: no cache
/// has a key that did not exist, and a record of use takes no right away.
pub trait KeyStore: KeyQueries {
    /// Adds a key. The caller has made sure that its partner exists.
    fn key_insert(&mut self, key: &PartnerKey, digest: &KeyDigest) -> Result<(), Self::Error>;

    /// One key, locked against other writers until the transaction ends.
    fn key_for_update(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, Self::Error>;

    /// Locks keys against other writers until the transaction ends, in the order in which they are named: that
    /// of their ids, after the partners that are locked.
    fn keys_lock(&mut self, ids: &[KeyId]) -> Result<(), Self::Error>;

    /// One key, in use until the transaction ends: [`KeyStore::key_wait_for_inflight`] waits for that. Changes
    /// and revocations don't, so that nobody can put them off by using the key.
    fn key_for_use(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, Self::Error>;

    /// The same for many, each named once, in no order; those that are not there are left out.
    ///
    /// A store may take them from a cache while none has changed, so their last use may be an earlier one.
    fn keys_for_use(&mut self, ids: &[KeyId]) -> Result<Vec<Arc<KeyWithPartner>>, Self::Error> {
        let mut held = Vec::with_capacity(ids.len());
        for &id in ids {
            held.extend(self.key_for_use(id)?.map(Arc::new));
        }
        Ok(held)
    }

    /// Waits until no transaction has the key in use that has found it as it was before. It belongs in a
    /// transaction of its own, for whoever waits should hold no locks.
    fn key_wait_for_inflight(&mut self, id: KeyId) -> Result<(), Self::Error>;

    /// Writes what an admin may change: name, scopes, plans, networks, limits, end, labels, what
    /// becomes of its orgs, `disabled`.
    /// Everything else stays as it is, a revocation above all.
    fn key_update(&mut self, key: &PartnerKey) -> Result<(), Self::Error>;

    /// Revokes a key, and records that its orgs are pending deletion if they are to be deleted; `false` when it
    /// was revoked already, and all then stays as it is, the reason too.
    fn key_revoke(
        &mut self,
        id: KeyId,
        at: OffsetDateTime,
        reason: RevocationReason,
        orgs: OnRevoke,
    ) -> Result<bool, Self::Error>;

    /// Records since when the orgs of a revoked key are pending deletion, or that none is any more.
    fn key_set_orgs_pending_deletion(
        &mut self,
        id: KeyId,
        since: Option<OffsetDateTime>,
    ) -> Result<(), Self::Error>;

    /// Records a use; an earlier time than the recorded one changes nothing.
    fn key_touch(&mut self, id: KeyId, at: OffsetDateTime) -> Result<(), Self::Error>;

    /// Replaces a key's digest, if it still is `from`; `false` when it is not. A cache of
    /// keys need not know of it.
    fn key_digest_renew(
        &mut self,
        id: KeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, Self::Error>;
}
