//! What is known of peppers, in memory.

use std::collections::BTreeMap;

use ids::{AdminKeyId, KeyId};
use keys::{KeyStatus, PepperId, PepperNotes, PepperQueries, PepperStore, PepperUse};
use stores::StoreError;
use time::OffsetDateTime;

use super::session::{MemoryTx, Session, Stored};

impl<Mode> PepperQueries for Session<Mode> {
    type Error = StoreError;

    fn pepper_check(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.state.pepper_check.clone())
    }

    fn pepper_uses(&mut self, now: OffsetDateTime) -> Result<Vec<PepperUse>, StoreError> {
        let mut uses: BTreeMap<Option<PepperId>, (u64, u64, u64)> = BTreeMap::new();
        for Stored { key, digest } in self.state.keys.rows() {
            if matches!(key.status(now), KeyStatus::Active | KeyStatus::Disabled) {
                uses.entry(digest.pepper()).or_default().0 += 1;
                if let Some(older) = self.state.older_pepper(key, now)
                    && older != digest.pepper()
                {
                    uses.entry(older).or_default().0 += 1;
                }
            }
        }
        for Stored { key, digest } in self.state.admin_keys.rows() {
            if key.status(now) == KeyStatus::Active {
                uses.entry(digest.pepper()).or_default().1 += 1;
            }
        }
        for secrets in self.state.org_secrets.rows() {
            uses.entry(Some(secrets.pepper)).or_default().2 += 1;
        }
        let uses = uses.into_iter();
        Ok(uses
            .map(
                |(pepper, (partner_keys, admin_keys, org_secrets))| PepperUse {
                    pepper,
                    partner_keys,
                    admin_keys,
                    org_secrets,
                },
            )
            .collect())
    }

    fn pepper_notes(&mut self) -> Result<PepperNotes, StoreError> {
        Ok(self.state.pepper_notes.clone())
    }
}

impl PepperStore for MemoryTx {
    fn pepper_check_replace(
        &mut self,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, StoreError> {
        let as_expected = self.state.pepper_check.as_deref() == expected;
        if as_expected {
            self.state.pepper_check = Some(new.to_owned());
        }
        Ok(as_expected)
    }

    fn pepper_label(&mut self, pepper: PepperId) -> Result<(), StoreError> {
        let ids: Vec<KeyId> = self.state.keys.rows().map(|row| row.key.id).collect();
        for id in ids {
            if let Some(row) = self.state.keys.get_mut(&id)
                && row.key.revoked_at.is_none()
                && row.digest.pepper().is_none()
            {
                row.digest = row.digest.under(pepper);
            }
        }
        self.state.older_secrets.change(
            |older| older.digest.pepper().is_none(),
            |older| older.digest = older.digest.under(pepper),
        );
        let ids: Vec<AdminKeyId> = self.state.admin_keys.rows().map(|row| row.key.id).collect();
        for id in ids {
            if let Some(row) = self.state.admin_keys.get_mut(&id)
                && row.key.revoked_at.is_none()
                && row.digest.pepper().is_none()
            {
                row.digest = row.digest.under(pepper);
            }
        }
        Ok(())
    }

    fn pepper_notes_replace(&mut self, notes: &PepperNotes) -> Result<(), StoreError> {
        self.state.pepper_notes = notes.clone();
        Ok(())
    }
}
