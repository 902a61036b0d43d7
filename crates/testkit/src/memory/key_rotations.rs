//! The secrets of keys that were rotated, in memory.

use ids::KeyId;
use keys::{Changed, FoundKey, KeyDigest, PartnerKey, PepperId};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    session::{OlderDigest, State},
    table::Violated,
};

impl State {
    /// The keys of which a secret has one of these digests.
    pub(super) fn found_by(&self, digests: &[KeyDigest]) -> Vec<(KeyDigest, FoundKey)> {
        let mut found = Vec::new();
        for row in self.keys.rows() {
            let Some(held) = self.held(row) else { continue };
            if digests.contains(&row.digest) {
                let secret = held.key.newest_secret();
                let held = held.clone();
                found.push((row.digest, FoundKey { held, secret }));
            }
            let older = self.older_secrets.get(&held.key.id);
            if let (Some(older), Some(secret)) = (older, held.key.older_secret())
                && digests.contains(&older.digest)
            {
                found.push((older.digest, FoundKey { held, secret }));
            }
        }
        found
    }

    pub(super) fn touch(&mut self, id: KeyId, secret: Option<OffsetDateTime>, at: OffsetDateTime) {
        let Some(row) = self.keys.get_mut(&id) else {
            return;
        };
        row.key.last_used_at = row.key.last_used_at.max(Some(at));
        if let (Some(secret), Some(rotation)) = (secret, &mut row.key.rotation) {
            let used = if rotation.created_at == secret {
                &mut rotation.last_used_at
            } else if rotation.older.created_at == secret {
                &mut rotation.older.last_used_at
            } else {
                return;
            };
            *used = (*used).max(Some(at));
        }
    }

    pub(super) fn rotate(
        &mut self,
        key: &PartnerKey,
        digest: KeyDigest,
        check_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        if self.keys.rows().any(|row| row.digest == digest) {
            return Err(Violated("two keys have one digest").into());
        }
        if let Some(row) = self.keys.get_mut(&key.id) {
            let older = OlderDigest {
                digest: std::mem::replace(&mut row.digest, digest),
                check_at,
            };
            row.key.key_prefix.clone_from(&key.key_prefix);
            row.key.rotation.clone_from(&key.rotation);
            self.older_secrets.put(key.id, older);
        }
        self.log(Changed::Key(key.id));
        Ok(())
    }

    pub(super) fn finish_rotation(&mut self, key: &PartnerKey) -> bool {
        let older = self.older_secrets.get_mut(&key.id);
        if older.is_none_or(|older| older.check_at.take().is_none()) {
            return false;
        }
        if let Some(row) = self.keys.get_mut(&key.id)
            && let (Some(stored), Some(ended)) = (&mut row.key.rotation, &key.rotation)
        {
            stored.older.expires_at = ended.older.expires_at;
        }
        self.log(Changed::Key(key.id));
        true
    }

    pub(super) fn cancel_rotation(&mut self, key: &PartnerKey) {
        if let (Some(row), Some(older)) = (
            self.keys.get_mut(&key.id),
            self.older_secrets.get_mut(&key.id),
        ) {
            std::mem::swap(&mut row.digest, &mut older.digest);
            older.check_at = None;
            row.key.key_prefix.clone_from(&key.key_prefix);
            row.key.rotation.clone_from(&key.rotation);
        }
        self.log(Changed::Key(key.id));
    }

    pub(super) fn check_rotation_at(&mut self, id: KeyId, at: OffsetDateTime) {
        if let Some(older) = self.older_secrets.get_mut(&id) {
            older.check_at = older.check_at.and(Some(at));
        }
    }

    pub(super) fn rotations_running(&self) -> impl Iterator<Item = (OffsetDateTime, KeyId)> {
        let rows = self.older_secrets.entries();
        rows.filter_map(|(id, older)| Some((older.check_at?, *id)))
    }

    pub(super) fn rotations_due(&self, now: OffsetDateTime, limit: usize) -> Vec<KeyId> {
        let mut due: Vec<_> = self.rotations_running().collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    pub(super) fn renew_digest(&mut self, id: KeyId, from: &KeyDigest, to: &KeyDigest) -> bool {
        let newest = self.keys.get_mut(&id).map(|row| &mut row.digest);
        let older = self.older_secrets.get_mut(&id).map(|row| &mut row.digest);
        let mut digests = newest.into_iter().chain(older);
        match digests.find(|digest| **digest == *from) {
            Some(digest) => {
                *digest = *to;
                true
            }
            None => false,
        }
    }

    /// The pepper of a key's older secret, while that works.
    pub(super) fn older_pepper(
        &self,
        key: &PartnerKey,
        now: OffsetDateTime,
    ) -> Option<Option<PepperId>> {
        key.running_rotation(now)?;
        let older = self.older_secrets.get(&key.id)?;
        older.check_at?;
        Some(older.digest.pepper())
    }
}
