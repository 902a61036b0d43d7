//! Uses of secrets that are not in the database yet: their recording runs, or has failed and is tried again.
//!
//! A rotation may end once its older secret is idle. A use that nobody has recorded would make it look idle too
//! early, so a key that stands here is in use.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ids::KeyId;
use time::OffsetDateTime;

/// How many are kept; an outage of the database has one for each rotated key that is used meanwhile.
const MAX_KEPT: usize = 100_000;

/// The use of a secret, which its time of making tells from others of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SecretUse {
    pub(crate) key: KeyId,
    pub(crate) secret: OffsetDateTime,
}

/// The latest unrecorded use of each secret.
#[derive(Debug, Default)]
pub(crate) struct UnrecordedUses(Mutex<HashMap<SecretUse, OffsetDateTime>>);

impl UnrecordedUses {
    pub(crate) fn insert(&self, of: SecretUse, at: OffsetDateTime) {
        let mut uses = self.uses();
        if uses.len() < MAX_KEPT || uses.contains_key(&of) {
            let latest = uses.entry(of).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    /// A use of this time was recorded; a later one stays.
    pub(crate) fn remove(&self, of: SecretUse, at: OffsetDateTime) {
        let mut uses = self.uses();
        if uses.get(&of).is_some_and(|latest| *latest <= at) {
            uses.remove(&of);
        }
    }

    pub(crate) fn all(&self) -> Vec<(SecretUse, OffsetDateTime)> {
        self.uses().iter().map(|(of, at)| (*of, *at)).collect()
    }

    pub(crate) fn is_in_use(&self, key: KeyId) -> bool {
        self.uses().keys().any(|of| of.key == key)
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<SecretUse, OffsetDateTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
