//! Keys that the writer has read before, as they stand until somebody changes one.
//!
//! On SQLite nobody else changes anything while a transaction that writes is open, and whoever changes a
//! key or its partner raises the revision. So one question, for the revision, tells that all that is
//! remembered still holds. On PostgreSQL the rows are locked, and are read with that.

use std::{collections::HashMap, sync::Arc};

use ids::KeyId;
use keys::KeyWithPartner;
use stores::StoreError;

use crate::{
    dialect, key_changes, keys as rows,
    session::{Session, Writing},
};

/// How many are remembered at the most.
const MOST: usize = 4096;

/// What a session remembers of keys.
#[derive(Default)]
pub(crate) struct KnownKeys {
    /// The revision at which they were read.
    revision: u64,
    keys: HashMap<KeyId, Arc<KeyWithPartner>>,
}

impl KnownKeys {
    /// Forgets all: a transaction was undone, in which they may have been read as it had changed them.
    pub(crate) fn undone(&mut self) {
        self.keys.clear();
    }

    /// Forgets what was read at another revision.
    fn at(&mut self, revision: u64) {
        if self.revision != revision {
            self.keys.clear();
            self.revision = revision;
        }
    }

    fn remember(&mut self, held: &Arc<KeyWithPartner>) {
        if self.keys.len() >= MOST {
            self.keys.clear();
        }
        self.keys.insert(held.key.id, Arc::clone(held));
    }
}

/// Keys that nobody changes until the transaction ends, in no order; those that are not there are left
/// out.
pub(crate) fn for_use(
    session: &mut Session<Writing>,
    ids: &[KeyId],
) -> Result<Vec<Arc<KeyWithPartner>>, StoreError> {
    if let Some(held) = session.run(|connection| dialect::many::keys_held(connection, ids))? {
        return held
            .into_iter()
            .map(|row| rows::held(row).map(Arc::new))
            .collect();
    }
    let revision = key_changes::revision(session)?;
    session.known_keys.at(revision);
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(known) = session.known_keys.keys.get(id) {
            all.push(Arc::clone(known));
        } else if let Some(held) = rows::by_id(session, *id)?.map(Arc::new) {
            session.known_keys.remember(&held);
            all.push(held);
        }
    }
    Ok(all)
}
