//! The keys behind reported tokens.

use std::{collections::BTreeMap, sync::Arc};

use ids::{AdminKeyId, KeyId};
use keys::{FoundKey, LeakLocation};
use time::OffsetDateTime;

/// A secret of a partner key that was seen somewhere.
#[derive(Clone, Debug)]
pub(super) struct LeakedSecret {
    pub(super) key_prefix: Arc<str>,
    pub(super) location: Arc<LeakLocation>,
}

/// The key behind a digest.
#[derive(Clone, Debug)]
pub(super) enum LeakedKey {
    /// A partner key, by the secret with this prefix.
    Key(KeyId, Arc<str>),
    /// A partner key, by a secret that a rotation has ended: it opens nothing.
    EndedSecret,
    Admin(AdminKeyId),
}

/// The keys behind digests, each with the first location at which it was seen.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) partner_keys: BTreeMap<KeyId, LeakedSecret>,
    pub(super) admin_keys: BTreeMap<AdminKeyId, Arc<LeakLocation>>,
}

impl LeakedKey {
    pub(super) fn of(found: &FoundKey, now: OffsetDateTime) -> Self {
        let key = &found.held.key;
        if key.has_ended(&found.secret, now) {
            Self::EndedSecret
        } else {
            Self::Key(key.id, Arc::clone(&found.secret.key_prefix))
        }
    }
}

impl Found {
    pub(super) fn add(&mut self, subject: LeakedKey, location: &Arc<LeakLocation>) {
        let location = Arc::clone(location);
        match subject {
            LeakedKey::Key(id, key_prefix) => {
                let secret = LeakedSecret {
                    key_prefix,
                    location,
                };
                self.partner_keys.entry(id).or_insert(secret);
            }
            LeakedKey::EndedSecret => {}
            LeakedKey::Admin(id) => {
                self.admin_keys.entry(id).or_insert(location);
            }
        }
    }
}
