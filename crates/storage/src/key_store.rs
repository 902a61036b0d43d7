//! The store of keys: where each question and each change is found.

use std::sync::Arc;

use ids::{AdminKeyId, KeyId, Page, PageRequest, PartnerId};
use keys::{
    AdminKey, Changed, Changes, KeyDigest, KeyFilter, KeyQueries, KeyStore, KeyWithPartner,
    OnRevoke, Partner, PartnerKey, PepperId, PepperNotes, PepperUse,
};
use stores::StoreError;
use time::OffsetDateTime;

use crate::{
    admin_keys, dialect, key_changes, keys as partner_keys, known_keys, partners, peppers,
    session::{Session, Writing},
};

impl<M> KeyQueries for Session<M> {
    type Error = StoreError;

    fn key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<KeyWithPartner>, StoreError> {
        partner_keys::by_digest(self, digests)
    }

    fn keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, KeyWithPartner)>, StoreError> {
        partner_keys::by_digests(self, digests)
    }

    fn key(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        partner_keys::by_id(self, id)
    }

    fn keys(
        &mut self,
        filter: &KeyFilter,
        page: PageRequest,
    ) -> Result<Page<PartnerKey>, StoreError> {
        partner_keys::list(self, filter, page)
    }

    fn partner(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        partners::by_id(self, id)
    }

    fn key_with_orgs_pending_deletion(&mut self) -> Result<Option<KeyId>, StoreError> {
        partner_keys::with_orgs_to_go(self)
    }

    fn partners(&mut self, page: PageRequest) -> Result<Page<Partner>, StoreError> {
        partners::list(self, page)
    }

    fn admin_key_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Option<AdminKey>, StoreError> {
        admin_keys::by_digest(self, digests)
    }

    fn admin_keys_by_digest(
        &mut self,
        digests: &[KeyDigest],
    ) -> Result<Vec<(KeyDigest, AdminKey)>, StoreError> {
        admin_keys::by_digests(self, digests)
    }

    fn admin_key(&mut self, id: AdminKeyId) -> Result<Option<AdminKey>, StoreError> {
        admin_keys::by_id(self, id)
    }

    fn admin_keys(&mut self) -> Result<Vec<AdminKey>, StoreError> {
        admin_keys::all(self)
    }

    fn key_changes(&mut self, since: u64) -> Result<Changes, StoreError> {
        key_changes::since(self, since)
    }

    fn pepper_check(&mut self) -> Result<Option<String>, StoreError> {
        admin_keys::pepper_check(self)
    }

    fn pepper_uses(&mut self, now: OffsetDateTime) -> Result<Vec<PepperUse>, StoreError> {
        peppers::uses(self, now)
    }

    fn pepper_notes(&mut self) -> Result<PepperNotes, StoreError> {
        peppers::notes(self)
    }
}

impl KeyStore for Session<Writing> {
    fn key_insert(&mut self, key: &PartnerKey, digest: &KeyDigest) -> Result<(), StoreError> {
        partner_keys::insert(self, key, digest)
    }

    fn key_for_update(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        partner_keys::lock(self, id)
    }

    fn keys_lock(&mut self, ids: &[KeyId]) -> Result<(), StoreError> {
        partner_keys::lock_all(self, ids)
    }

    fn key_wait_for_inflight(&mut self, id: KeyId) -> Result<(), StoreError> {
        self.run(|connection| dialect::await_key_uses(connection, &id.to_string()))
    }

    fn key_for_use(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        partner_keys::lock_for_use(self, id)
    }

    fn keys_for_use(&mut self, ids: &[KeyId]) -> Result<Vec<Arc<KeyWithPartner>>, StoreError> {
        known_keys::for_use(self, ids)
    }

    fn key_update(&mut self, key: &PartnerKey) -> Result<(), StoreError> {
        partner_keys::update(self, key)?;
        key_changes::log(self, Changed::Key(key.id))
    }

    fn key_revoke(
        &mut self,
        id: KeyId,
        at: OffsetDateTime,
        orgs: OnRevoke,
    ) -> Result<bool, StoreError> {
        let first = partner_keys::revoke(self, id, at, orgs)?;
        key_changes::log(self, Changed::Key(id))?;
        Ok(first)
    }

    fn key_set_orgs_pending_deletion(
        &mut self,
        id: KeyId,
        since: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        partner_keys::note_orgs_to_go(self, id, since)
    }

    fn key_touch(&mut self, id: KeyId, at: OffsetDateTime) -> Result<(), StoreError> {
        partner_keys::touch(self, id, at)
    }

    fn partner_insert(&mut self, partner: &Partner) -> Result<(), StoreError> {
        partners::insert(self, partner)
    }

    fn partner_for_update(&mut self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        partners::lock(self, id)
    }

    fn partners_lock(&mut self, ids: &[PartnerId]) -> Result<(), StoreError> {
        partners::lock_all(self, ids)
    }

    fn partner_update(&mut self, partner: &Partner) -> Result<(), StoreError> {
        partners::update(self, partner)?;
        key_changes::log(self, Changed::Partner(partner.id))
    }

    fn admin_key_insert(&mut self, key: &AdminKey, digest: &KeyDigest) -> Result<(), StoreError> {
        admin_keys::insert(self, key, digest)?;
        key_changes::log(self, Changed::AdminKeys)
    }

    fn admin_key_revoke(&mut self, id: AdminKeyId, at: OffsetDateTime) -> Result<bool, StoreError> {
        let first = admin_keys::revoke(self, id, at)?;
        key_changes::log(self, Changed::AdminKeys)?;
        Ok(first)
    }

    fn admin_key_restore(&mut self, id: AdminKeyId) -> Result<(), StoreError> {
        admin_keys::restore(self, id)?;
        key_changes::log(self, Changed::AdminKeys)
    }

    fn pepper_check_replace(
        &mut self,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, StoreError> {
        admin_keys::pepper_check_replace(self, expected, new)
    }

    fn key_digest_renew(
        &mut self,
        id: KeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        peppers::renew(self, id, from, to)
    }

    fn admin_key_digest_renew(
        &mut self,
        id: AdminKeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        peppers::renew_admin(self, id, from, to)
    }

    fn key_change_confirm(&mut self) -> Result<u64, StoreError> {
        key_changes::confirm(self)
    }

    fn pepper_label(&mut self, pepper: PepperId) -> Result<(), StoreError> {
        peppers::label(self, pepper)
    }

    fn pepper_notes_replace(&mut self, notes: &PepperNotes) -> Result<(), StoreError> {
        peppers::replace_notes(self, notes)
    }
}
