//! Partners and keys in memory.

use std::sync::Arc;

use ids::{AdminKeyId, KeyId, Page, PageRequest, PartnerId, TrustRuleId};
use keys::{
    AdminKey, AdminKeyQueries, AdminKeyStore, Changed, Changes, FoundKey, KeyChangeQueries,
    KeyChangeStore, KeyDigest, KeyFilter, KeyQueries, KeyStatus, KeyStore, KeyWithPartner,
    LISTED_AFTER_END, MIN_CHANGES_KEPT, OnRevoke, Partner, PartnerKey, PartnerQueries,
    PartnerStore, RevocationReason,
};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    session::{MemoryTx, Session, State, Stored},
    table::Violated,
};

impl State {
    pub(super) fn held(&self, row: &Stored<PartnerKey>) -> Option<KeyWithPartner> {
        let partner = self.partners.get(&row.key.partner_id)?.clone();
        let key = row.key.clone();
        Some(KeyWithPartner { key, partner })
    }

    pub(super) fn log(&mut self, changed: Changed) {
        self.key_revision += 1;
        let log = Arc::make_mut(&mut self.key_changes);
        log.push((self.key_revision, changed));
        log.retain(|(revision, _)| revision + MIN_CHANGES_KEPT > self.key_revision);
        self.changes_to_confirm
            .retain(|revision| revision + MIN_CHANGES_KEPT > self.key_revision);
    }
}

impl<Mode> PartnerQueries for Session<Mode> {
    type Error = StoreError;

    fn partner(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        Ok(self.state.partners.get(&id).cloned())
    }

    fn partners(&mut self, page: PageRequest) -> Result<Page<Partner>, StoreError> {
        Ok(self.state.partners.page(page, |_| true))
    }
}

impl<Mode> KeyQueries for Session<Mode> {
    type Error = StoreError;

    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, FoundKey)>, StoreError> {
        Ok(self.state.found_by(digests))
    }

    fn key(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        let state = &self.state;
        Ok(state.keys.get(&id).and_then(|row| state.held(row)))
    }

    fn keys(
        &mut self,
        filter: &KeyFilter,
        page: PageRequest,
    ) -> Result<Page<PartnerKey>, StoreError> {
        let wanted = |row: &Stored<PartnerKey>| filter.includes(&row.key);
        Ok(self.state.keys.page(page, wanted).map(|row| row.key))
    }

    fn key_with_orgs_pending_deletion(&mut self) -> Result<Option<KeyId>, StoreError> {
        Ok(self.state.keys_with_orgs_to_go.first().map(|&(_, id)| id))
    }

    fn rotations_due(
        &mut self,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        Ok(self.state.rotations_due(now, limit))
    }

    fn rotations_running(&mut self, limit: usize) -> Result<usize, StoreError> {
        Ok(self.state.rotations_running().take(limit).count())
    }
}

impl<Mode> AdminKeyQueries for Session<Mode> {
    type Error = StoreError;

    fn admin_key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<AdminKey>, StoreError> {
        let mut rows = self.state.admin_keys.rows();
        let row = rows.find(|row| digests.contains(&row.digest));
        Ok(row.map(|row| row.key.clone()))
    }

    fn admin_keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, AdminKey)>, StoreError> {
        let rows = self.state.admin_keys.rows();
        Ok(rows
            .filter(|row| digests.contains(&row.digest))
            .map(|row| (row.digest, row.key.clone()))
            .collect())
    }

    fn admin_key(&mut self, id: AdminKeyId) -> Result<Option<AdminKey>, StoreError> {
        let row = self.state.admin_keys.get(&id);
        Ok(row.map(|row| row.key.clone()))
    }

    fn admin_keys(&mut self) -> Result<Vec<AdminKey>, StoreError> {
        let newest_first = self.state.admin_keys.rows().rev();
        Ok(newest_first.map(|row| row.key.clone()).collect())
    }
}

impl<Mode> KeyChangeQueries for Session<Mode> {
    type Error = StoreError;

    fn key_changes(&mut self, since: u64) -> Result<Changes, StoreError> {
        let log = self.state.key_changes.iter();
        let logged = log.filter(|change| change.0 > since).copied().collect();
        let mut to_confirm = self.state.changes_to_confirm.iter();
        let confirm = to_confirm.any(|&revision| revision > since);
        Ok(Changes::since(since, self.state.key_revision, logged).to_confirm(confirm))
    }
}

impl PartnerStore for MemoryTx {
    fn partners_lock(&mut self, _ids: &[PartnerId]) -> Result<(), StoreError> {
        Ok(())
    }

    fn partner_insert(&mut self, partner: &Partner) -> Result<(), StoreError> {
        self.state.partners.insert(partner.id, partner.clone())
    }

    fn partner_for_update(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        self.partner(id)
    }

    fn partner_update(&mut self, partner: &Partner) -> Result<(), StoreError> {
        if let Some(stored) = self.state.partners.get_mut(&partner.id) {
            *stored = Partner {
                created_at: stored.created_at,
                ..partner.clone()
            };
        }
        self.state.log(Changed::Partner(partner.id));
        Ok(())
    }
}

impl KeyStore for MemoryTx {
    fn key_insert(&mut self, key: &PartnerKey, digest: &KeyDigest) -> Result<(), StoreError> {
        if self.state.partners.get(&key.partner_id).is_none() {
            return Err(Violated("a key's partner must exist").into());
        }
        let keys = &mut self.state.keys;
        if keys.rows().any(|row| row.digest == *digest) {
            return Err(Violated("two keys have one digest").into());
        }
        let (key, digest) = (key.clone(), *digest);
        keys.insert(key.id, Stored { key, digest })
    }

    fn key_for_update(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        self.key(id)
    }

    fn key_for_use(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        self.key(id)
    }

    fn keys_lock(&mut self, _ids: &[KeyId]) -> Result<(), StoreError> {
        Ok(())
    }

    fn key_wait_for_inflight(&mut self, _id: KeyId) -> Result<(), StoreError> {
        Ok(())
    }

    fn key_update(&mut self, key: &PartnerKey) -> Result<(), StoreError> {
        if let Some(Stored { key: stored, .. }) = self.state.keys.get_mut(&key.id) {
            let key = key.clone();
            stored.name = key.name;
            stored.scopes = key.scopes;
            stored.org_plans = key.org_plans;
            stored.allowed_cidrs = key.allowed_cidrs;
            stored.rate_limit = key.rate_limit;
            stored.expires_at = key.expires_at;
            stored.max_live_orgs = key.max_live_orgs;
            stored.max_ttl_seconds = key.max_ttl_seconds;
            stored.on_revoke = key.on_revoke;
            stored.on_leak = key.on_leak;
            stored.labels = key.labels;
            stored.disabled = key.disabled;
        }
        self.state.log(Changed::Key(key.id));
        Ok(())
    }

    fn key_revoke(
        &mut self,
        id: KeyId,
        at: OffsetDateTime,
        reason: RevocationReason,
        orgs: OnRevoke,
    ) -> Result<bool, StoreError> {
        let row = self.state.keys.get_mut(&id);
        let first = row.is_some_and(|row| {
            let first = revoke(&mut row.key.revoked_at, at);
            row.key.revocation_reason.get_or_insert(reason);
            first
        });
        if first && orgs == OnRevoke::Delete {
            self.key_set_orgs_pending_deletion(id, Some(at))?;
        }
        self.state.log(Changed::Key(id));
        Ok(first)
    }

    fn keys_of_rule_revoke(
        &mut self,
        rule: TrustRuleId,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        let is_live = |key: &PartnerKey| {
            key.created_by == rule.into()
                && matches!(key.status(at), KeyStatus::Active | KeyStatus::Disabled)
        };
        let live = self.state.keys.rows().map(|row| &row.key);
        let live = live.filter(|key| is_live(key)).map(|key| key.id);
        let live: Vec<KeyId> = live.take(limit).collect();
        for &id in &live {
            self.key_revoke(id, at, RevocationReason::Unspecified, OnRevoke::Keep)?;
        }
        Ok(live)
    }

    fn keys_prune(&mut self, now: OffsetDateTime, limit: usize) -> Result<usize, StoreError> {
        let ended = |key: &PartnerKey| {
            let end = key.expires_at.filter(|_| key.created_by.is_rule());
            end.is_some_and(|end| end + LISTED_AFTER_END <= now)
        };
        let orgs = &self.state.orgs;
        let made_no_org = |key: &PartnerKey| {
            let mut orgs = orgs.rows();
            !orgs.any(|row| row.org.created_by_key_id == key.id)
        };
        let past = self.state.keys.rows().map(|row| &row.key);
        let past = past.filter(|key| ended(key) && made_no_org(key));
        let past: Vec<KeyId> = past.map(|key| key.id).take(limit).collect();
        self.state.keys.retain(|row| !past.contains(&row.key.id));
        Ok(past.len())
    }

    fn key_set_orgs_pending_deletion(
        &mut self,
        id: KeyId,
        since: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        let noted = &mut self.state.keys_with_orgs_to_go;
        noted.retain(|&(_, other)| other != id);
        noted.extend(since.map(|since| (since, id)));
        Ok(())
    }

    fn key_touch(
        &mut self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.state.touch(id, secret, at);
        Ok(())
    }

    fn key_rotate(
        &mut self,
        key: &PartnerKey,
        digest: &KeyDigest,
        check_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        self.state.rotate(key, *digest, check_at)
    }

    fn key_rotation_finish(&mut self, key: &PartnerKey) -> Result<bool, StoreError> {
        Ok(self.state.finish_rotation(key))
    }

    fn key_rotation_cancel(&mut self, key: &PartnerKey) -> Result<(), StoreError> {
        self.state.cancel_rotation(key);
        Ok(())
    }

    fn key_rotation_check_at(&mut self, id: KeyId, at: OffsetDateTime) -> Result<(), StoreError> {
        self.state.check_rotation_at(id, at);
        Ok(())
    }

    fn key_digest_renew(
        &mut self,
        id: KeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        Ok(self.state.renew_digest(id, from, to))
    }
}

impl AdminKeyStore for MemoryTx {
    fn admin_key_insert(&mut self, key: &AdminKey, digest: &KeyDigest) -> Result<(), StoreError> {
        let admin_keys = &mut self.state.admin_keys;
        if admin_keys.rows().any(|row| row.digest == *digest) {
            return Err(Violated("two admin keys have one digest").into());
        }
        let (key, digest) = (key.clone(), *digest);
        admin_keys.insert(key.id, Stored { key, digest })?;
        self.state.log(Changed::AdminKeys);
        Ok(())
    }

    fn admin_key_revoke(&mut self, id: AdminKeyId, at: OffsetDateTime) -> Result<bool, StoreError> {
        let row = self.state.admin_keys.get_mut(&id);
        let first = row.is_some_and(|row| revoke(&mut row.key.revoked_at, at));
        self.state.log(Changed::AdminKeys);
        Ok(first)
    }

    fn admin_key_restore(&mut self, id: AdminKeyId) -> Result<(), StoreError> {
        if let Some(row) = self.state.admin_keys.get_mut(&id) {
            row.key.revoked_at = None;
        }
        self.state.log(Changed::AdminKeys);
        Ok(())
    }

    fn admin_key_digest_renew(
        &mut self,
        id: AdminKeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        let row = self.state.admin_keys.get_mut(&id);
        let row = row.filter(|row| row.digest == *from);
        Ok(row.map(|row| row.digest = *to).is_some())
    }
}

impl KeyChangeStore for MemoryTx {
    fn key_change_confirm(&mut self) -> Result<u64, StoreError> {
        let revision = self.state.key_revision;
        self.state.changes_to_confirm.insert(revision);
        Ok(revision)
    }
}

/// Sets the time once; whether this was the time.
fn revoke(revoked_at: &mut Option<OffsetDateTime>, at: OffsetDateTime) -> bool {
    let first = revoked_at.is_none();
    revoked_at.get_or_insert(at);
    first
}
