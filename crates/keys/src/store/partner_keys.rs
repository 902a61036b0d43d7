//! The store traits for partner keys.

use std::sync::Arc;

use ids::{KeyId, Page, PageRequest, PartnerId, TrustRuleId};
use time::{Duration, OffsetDateTime};

use crate::{
    FoundKey, KeyDigest, KeyStatus, KeyWithPartner, LISTED_AFTER_END, MAX_RULE_KEY_LIFE, OnRevoke,
    PartnerKey, RevocationReason,
};

/// How far a clock may be set back between the two readings that a key's times and its id are made of.
const CLOCK_STEP: Duration = Duration::MINUTE;

/// Which keys a caller asks for. It says nothing of what the caller may see: that is for the use case to add.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyListRequest {
    /// Keys of this partner.
    pub partner_id: Option<PartnerId>,
    /// Keys that have this status at this time.
    pub status: Option<(KeyStatus, OffsetDateTime)>,
    /// Keys that end by themselves before this.
    pub expires_before: Option<OffsetDateTime>,
    /// Keys that were not used since this.
    pub unused_since: Option<OffsetDateTime>,
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
    /// Those that end by themselves before this.
    pub expires_before: Option<OffsetDateTime>,
    /// Those that were not used since this, as far as the minutes of uses tell.
    pub unused_since: Option<OffsetDateTime>,
    /// Those that lists show at this time, see [`PartnerKey::is_listed`].
    pub listed_at: Option<OffsetDateTime>,
}

impl KeyFilter {
    /// Whether the key is to be listed.
    #[must_use]
    pub fn includes(&self, key: &PartnerKey) -> bool {
        self.partner_id.is_none_or(|id| key.partner_id == id)
            && self.id.is_none_or(|id| key.id == id)
            && self.status.is_none_or(|(is, at)| key.status(at) == is)
            && self
                .expires_before
                .is_none_or(|time| key.expires_at.is_some_and(|end| end < time))
            && self
                .unused_since
                .is_none_or(|time| key.is_unused_since(time))
            && self.listed_at.is_none_or(|at| key.is_listed(at))
    }

    /// A time such that no key of a trust rule is to be listed that was made before it; `None` where there is none.
    #[must_use]
    pub fn rule_keys_since(&self) -> Option<OffsetDateTime> {
        let made_before =
            |at: OffsetDateTime, ago| at.checked_sub(ago + MAX_RULE_KEY_LIFE + CLOCK_STEP);
        let listed = self
            .listed_at
            .and_then(|at| made_before(at, LISTED_AFTER_END));
        let is_usable = |status| matches!(status, KeyStatus::Active | KeyStatus::Disabled);
        let usable = self.status.filter(|(status, _)| is_usable(*status));
        let usable = usable.and_then(|(_, at)| made_before(at, Duration::ZERO));
        // Those that ended before such a time are not listed any more.
        let ended = self.expires_before.zip(self.listed_at);
        let ended = ended.filter(|(end, at)| *end <= *at - LISTED_AFTER_END);
        [listed, usable, ended.map(|(_, at)| at)]
            .into_iter()
            .flatten()
            .max()
    }
}

/// Queries of a store of partner keys.
pub trait KeyQueries {
    /// The store's error.
    type Error;

    /// The key of which a secret is stored under any of these digests of one token, whatever the status of either.
    ///
    /// # Errors
    /// When the store fails.
    fn key_by_digest(&mut self, digests: &[KeyDigest]) -> Result<Option<FoundKey>, Self::Error> {
        Ok(self.keys_by_digest(digests)?.pop().map(|(_, found)| found))
    }

    /// The keys of which secrets are stored under these digests, whatever their status, each with the digest
    /// that it was found by.
    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, FoundKey)>, Self::Error>;

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

    /// Up to `limit` keys whose rotation is to be looked at by `now`, those that wait the longest first.
    fn rotations_due(
        &mut self,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, Self::Error>;

    /// How many rotations are running or have ended a moment ago, up to `limit`.
    fn rotations_running(&mut self, limit: usize) -> Result<usize, Self::Error>;
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

    /// Revokes up to `limit` keys that a trust rule has made, which are not revoked and end after `at`; which.
    /// Their orgs stay.
    fn keys_of_rule_revoke(
        &mut self,
        rule: TrustRuleId,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, Self::Error>;

    /// Deletes keys that trust rules have made and that have left lists at `now`, up to `limit`; how many were
    /// looked at. One that has made an org stays, for the org names it, and is not looked at again.
    fn keys_prune(&mut self, now: OffsetDateTime, limit: usize) -> Result<usize, Self::Error>;

    /// Records since when the orgs of a revoked key are pending deletion, or that none is any more.
    fn key_set_orgs_pending_deletion(
        &mut self,
        id: KeyId,
        since: Option<OffsetDateTime>,
    ) -> Result<(), Self::Error>;

    /// Records a use, of the key and of the secret that was used; an earlier time than the recorded one changes
    /// nothing. The secret is named where the key was ever rotated.
    fn key_touch(
        &mut self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), Self::Error>;

    /// Writes that a key was rotated, as [`PartnerKey::rotate`] has changed it: `digest` is that of the new
    /// secret, and the stored one becomes that of the older. The rotation is to be looked at by `check_at`; at
    /// `None` it is over.
    fn key_rotate(
        &mut self,
        key: &PartnerKey,
        digest: &KeyDigest,
        check_at: Option<OffsetDateTime>,
    ) -> Result<(), Self::Error>;

    /// Writes that the older secret of a key has ended, as [`PartnerKey::finish_rotation`] has changed it; `false`
    /// when the rotation was over already, and all then stays as it is.
    fn key_rotation_finish(&mut self, key: &PartnerKey) -> Result<bool, Self::Error>;

    /// Writes that the newest secret of a key has ended, as [`PartnerKey::cancel_rotation`] has changed it: the
    /// digests change places.
    fn key_rotation_cancel(&mut self, key: &PartnerKey) -> Result<(), Self::Error>;

    /// Has a rotation be looked at by another time. A cache of keys need not know of it.
    fn key_rotation_check_at(&mut self, id: KeyId, at: OffsetDateTime) -> Result<(), Self::Error>;

    /// Replaces the digest of one of a key's secrets, if it still is `from`; `false` when it is not. A cache of
    /// keys need not know of it.
    fn key_digest_renew(
        &mut self,
        id: KeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, Self::Error>;
}
