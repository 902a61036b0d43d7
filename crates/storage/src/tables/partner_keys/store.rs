//! What is changed about partner keys.

use std::sync::Arc;

use diesel::{QueryResult, prelude::*};
use ids::{KeyId, TrustRuleId};
use keys::{
    Changed, KeyDigest, KeyQueries as _, KeyStore, KeyWithPartner, LISTED_AFTER_END, OnRevoke,
    PartnerKey, RevocationReason,
};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    rotations::{self, with_partner},
    row::{KeyRow, partner_keys},
    rules,
};
use crate::{
    connection::{
        AnyConnection,
        prepared::{self, Prepared},
    },
    session::{Session, Writing},
    tables::{
        key_changes,
        locks::lock,
        partners::{PartnerRow, partners},
        values, webhook_announcements,
    },
};

impl KeyStore for Session<Writing> {
    fn key_insert(&mut self, key: &PartnerKey, digest: &KeyDigest) -> Result<(), StoreError> {
        let row = KeyRow::from(key);
        let pepper = partner_keys::pepper_id.eq(values::pepper(digest));
        let digest = partner_keys::digest.eq(digest.as_bytes().as_slice());
        // The end of a pipeline's key is no news.
        let announced = row.settings.expires_at;
        let announced = announced.filter(|_| !key.created_by.is_rule());
        let announce = partner_keys::end_to_announce.eq(announced);
        let prune = partner_keys::prune_after.eq(prune_after(key));
        let added = diesel::insert_into(partner_keys::table)
            .values((&row, digest, pepper, announce, prune));
        self.run(|connection| prepared::execute(connection, added))?;
        Ok(())
    }

    fn key_for_update(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        let row = partner_keys::table.find(id.to_string());
        let row = row.select(partner_keys::id);
        self.run(|connection| lock!(connection, row.for_no_key_update()))?;
        self.key(id)
    }

    fn keys_lock(&mut self, ids: &[KeyId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = partner_keys::table
            .filter(partner_keys::id.eq_any(ids))
            .order(partner_keys::id)
            .select(partner_keys::id);
        self.run(|connection| lock!(connection, rows.for_no_key_update()))
    }

    fn key_for_use(&mut self, id: KeyId) -> Result<Option<KeyWithPartner>, StoreError> {
        let row = partner_keys::table.find(id.to_string());
        let row = row.select(partner_keys::id);
        self.run(|connection| lock!(connection, row.for_key_share()))?;
        self.key(id)
    }

    fn keys_for_use(&mut self, ids: &[KeyId]) -> Result<Vec<Arc<KeyWithPartner>>, StoreError> {
        if let Some(rows) = self.run(|connection| lock_for_use(connection, ids))? {
            return rows
                .into_iter()
                .map(|row| with_partner(self, row).map(Arc::new))
                .collect();
        }
        let revision = key_changes::revision(self)?;
        self.key_cache.keep_at(revision);
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(cached) = self.key_cache.get(*id) {
                all.push(cached);
            } else if let Some(key) = self.key(*id)?.map(Arc::new) {
                self.key_cache.insert(&key);
                all.push(key);
            }
        }
        Ok(all)
    }

    fn key_wait_for_inflight(&mut self, id: KeyId) -> Result<(), StoreError> {
        let row = partner_keys::table.find(id.to_string());
        let row = row.select(partner_keys::id);
        self.run(|connection| lock!(connection, row.for_update()))
    }

    fn key_update(&mut self, key: &PartnerKey) -> Result<(), StoreError> {
        let row = KeyRow::from(key);
        let end_to_announce = end_to_announce(self, &row.id, row.settings.expires_at)?;
        self.run(|connection| {
            diesel::update(partner_keys::table.find(&row.id))
                .set((
                    &row.settings,
                    partner_keys::end_to_announce.eq(end_to_announce),
                ))
                .execute(connection)
        })?;
        key_changes::log(self, Changed::Key(key.id))
    }

    fn key_revoke(
        &mut self,
        id: KeyId,
        at: OffsetDateTime,
        reason: RevocationReason,
        orgs: OnRevoke,
    ) -> Result<bool, StoreError> {
        let at = values::micros(at);
        let pending_since = (orgs == OnRevoke::Delete).then_some(at);
        let live = partner_keys::table
            .find(id.to_string())
            .filter(partner_keys::revoked_at.is_null());
        let rows = self.run(|connection| {
            let revoked = diesel::update(live).set((
                partner_keys::revoked_at.eq(at),
                partner_keys::revocation_reason.eq(reason.as_str()),
                partner_keys::orgs_to_go_since.eq(pending_since),
            ));
            prepared::execute(connection, revoked)
        })?;
        key_changes::log(self, Changed::Key(id))?;
        Ok(rows > 0)
    }

    fn keys_of_rule_revoke(
        &mut self,
        rule: TrustRuleId,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        let ids = rules::live_keys(self, rule, at, limit)?;
        for &id in &ids {
            self.key_revoke(id, at, RevocationReason::Unspecified, OnRevoke::Keep)?;
        }
        Ok(ids)
    }

    fn keys_prune(&mut self, now: OffsetDateTime, limit: usize) -> Result<usize, StoreError> {
        rules::prune(self, now, limit)
    }

    fn key_set_orgs_pending_deletion(
        &mut self,
        id: KeyId,
        since: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        self.run(|connection| {
            diesel::update(partner_keys::table.find(id.to_string()))
                .set(partner_keys::orgs_to_go_since.eq(since.map(values::micros)))
                .execute(connection)
        })?;
        Ok(())
    }

    fn key_touch(
        &mut self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let micros = values::micros(at);
        let used_before = partner_keys::table.find(id.to_string()).filter(
            partner_keys::last_used_at
                .is_null()
                .or(partner_keys::last_used_at.lt(micros).assume_not_null()),
        );
        let noted = diesel::update(used_before).set(partner_keys::last_used_at.eq(micros));
        self.run(|connection| prepared::execute(connection, noted))?;
        match secret {
            Some(secret) => rotations::touch(self, id, (secret, at)),
            None => Ok(()),
        }
    }

    fn key_rotate(
        &mut self,
        key: &PartnerKey,
        digest: &KeyDigest,
        check_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        rotations::insert(self, key, check_at)?;
        let digest = (digest.as_bytes().to_vec(), values::pepper(digest));
        set_newest(self, key, digest)
    }

    fn key_rotation_finish(&mut self, key: &PartnerKey) -> Result<bool, StoreError> {
        let was_running = rotations::finish(self, key)?;
        if was_running {
            key_changes::log(self, Changed::Key(key.id))?;
        }
        Ok(was_running)
    }

    fn key_rotation_cancel(&mut self, key: &PartnerKey) -> Result<(), StoreError> {
        let digest = rotations::swap(self, key)?;
        set_newest(self, key, digest)
    }

    fn key_rotation_check_at(&mut self, id: KeyId, at: OffsetDateTime) -> Result<(), StoreError> {
        rotations::check_at(self, id, at)
    }

    fn key_digest_renew(
        &mut self,
        id: KeyId,
        from: &KeyDigest,
        to: &KeyDigest,
    ) -> Result<bool, StoreError> {
        let unchanged = partner_keys::table
            .find(id.to_string())
            .filter(partner_keys::digest.eq(from.as_bytes().as_slice()));
        let rows = self.run(|connection| {
            diesel::update(unchanged)
                .set((
                    partner_keys::digest.eq(to.as_bytes().as_slice()),
                    partner_keys::pepper_id.eq(values::pepper(to)),
                ))
                .execute(connection)
        })?;
        Ok(rows > 0 || rotations::renew(self, id, from, to)?)
    }
}

/// Writes the newest secret of a key that was rotated.
fn set_newest(
    session: &mut Session<Writing>,
    key: &PartnerKey,
    (digest, pepper): (Vec<u8>, Option<String>),
) -> Result<(), StoreError> {
    session.run(|connection| {
        diesel::update(partner_keys::table.find(key.id.to_string()))
            .set((
                partner_keys::digest.eq(digest),
                partner_keys::pepper_id.eq(pepper),
                partner_keys::key_prefix.eq(&key.key_prefix),
                partner_keys::rotated.eq(true),
            ))
            .execute(connection)
    })?;
    key_changes::log(session, Changed::Key(key.id))
}

/// From when on a key may be deleted, as far as its row tells.
fn prune_after(key: &PartnerKey) -> Option<i64> {
    let end = key.expires_at.filter(|_| key.created_by.is_rule())?;
    Some(values::micros(end + LISTED_AFTER_END))
}

/// Keys and their partners, held against every change until the transaction ends, while others hold
/// them in this way too; in no order. None on SQLite, where nobody else changes anything meanwhile.
fn lock_for_use(
    connection: &mut AnyConnection,
    ids: &[KeyId],
) -> QueryResult<Option<Vec<(KeyRow, PartnerRow)>>> {
    match connection {
        // As an insertion that refers to them holds them, so the partners are held a little sooner
        // than they would be.
        AnyConnection::Postgres(postgres) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let keys = partner_keys::table
                .inner_join(partners::table)
                .filter(partner_keys::id.eq_any(ids))
                .order(partner_keys::id)
                .select((
                    prepared::columns::<KeyRow>(),
                    prepared::columns::<PartnerRow>(),
                ))
                .for_key_share();
            Prepared(keys).load(postgres).map(Some)
        }
        AnyConnection::Sqlite(_) => Ok(None),
    }
}

/// When the end of a key is to be announced that is about to end at another time, or at none. The caller holds
/// the key.
fn end_to_announce(
    session: &mut Session<Writing>,
    id: &str,
    end: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    let before: Option<(Option<i64>, Option<i64>)> = session.run(|connection| {
        partner_keys::table
            .find(id)
            .select((partner_keys::expires_at, partner_keys::end_to_announce))
            .first(connection)
            .optional()
    })?;
    match (before, end) {
        (Some((end_before, to_announce)), _) if end_before == end => Ok(to_announce),
        (_, Some(end)) => webhook_announcements::end_to_announce(session, id, end).map(Some),
        (_, None) => Ok(None),
    }
}

/// Sets the pepper of all keys that are not revoked and whose pepper is not known.
pub(in crate::tables) fn label_pepper(
    session: &mut Session<Writing>,
    pepper: &str,
) -> Result<(), StoreError> {
    let unknown = partner_keys::table
        .filter(partner_keys::pepper_id.is_null())
        .filter(partner_keys::revoked_at.is_null());
    session.run(|connection| {
        diesel::update(unknown)
            .set(partner_keys::pepper_id.eq(pepper))
            .execute(connection)
    })?;
    rotations::label_pepper(session, pepper)
}
