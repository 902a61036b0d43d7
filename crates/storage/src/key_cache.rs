//! Keys that a writer has read before, as they stand until somebody changes one.
//!
//! On SQLite nobody else changes anything while a transaction that writes is open, and whoever changes a
//! key or its partner raises the revision. So one query, for the revision, tells that all entries are still
//! valid. On PostgreSQL the rows are locked, and are read with that.

use std::{collections::HashMap, sync::Arc};

use ids::KeyId;
use keys::KeyWithPartner;

/// How many entries there are at the most.
const CAPACITY: usize = 4096;

/// The keys that a session has read.
#[derive(Default)]
pub(crate) struct KeyCache {
    /// The revision at which they were read.
    revision: u64,
    keys: HashMap<KeyId, Arc<KeyWithPartner>>,
}

impl KeyCache {
    /// Drops all entries: a transaction was undone, in which they may have been read as it had changed them.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
    }

    /// Drops what was read at another revision.
    pub(crate) fn keep_at(&mut self, revision: u64) {
        if self.revision != revision {
            self.keys.clear();
            self.revision = revision;
        }
    }

    pub(crate) fn get(&self, id: KeyId) -> Option<Arc<KeyWithPartner>> {
        self.keys.get(&id).map(Arc::clone)
    }

    pub(crate) fn insert(&mut self, key: &Arc<KeyWithPartner>) {
        if self.keys.len() >= CAPACITY {
            self.keys.clear();
        }
        self.keys.insert(key.key.id, Arc::clone(key));
    }
}
