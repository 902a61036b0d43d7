//! Throttle of token lookups from addresses that have sent too many unknown tokens.
//!
//! Such a token may be a good one that the credential cache does not have, so it is looked up all the same.
//! All that wait share one query at a time, and addresses take turns: a flood costs the database one small
//! query every few milliseconds, and a good key among it waits for a few of them.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keys::{AdminKey, FoundKey, KeyDigest, KeyKind};
use ratelimit::Subject;
use stores::{Database, Queries, StoreError};

use super::credential_cache::Credential;
use crate::runtime::batcher::{Batcher, BatcherConfig};

/// How many tokens one query is about.
const BATCH: usize = 256;

const CONFIG: BatcherConfig = BatcherConfig {
    workers: 1,
    // Each is a request of a connection of its own, so there are seldom so many. A request beyond them is
    // told that the server is busy, not that an address is limited.
    capacity: 50_000,
    wait_timeout: Duration::MAX,
    min_interval: Duration::from_millis(5),
};

/// A credential, and the digest under which it is stored.
type Found = Option<(Credential, KeyDigest)>;

/// A token to look up.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) kind: KeyKind,
    /// The token's digests, one for each pepper.
    pub(crate) digests: Vec<KeyDigest>,
}

/// The throttled lookups of one process.
#[derive(Debug)]
pub(crate) struct AuthFailureThrottle {
    batcher: Batcher<Subject, Lookup, Found>,
    lookups: AtomicU64,
}

impl Default for AuthFailureThrottle {
    fn default() -> Self {
        Self {
            batcher: Batcher::new(CONFIG),
            lookups: AtomicU64::new(0),
        }
    }
}

impl AuthFailureThrottle {
    /// Looks up a token that came from an address over its limit.
    ///
    /// # Errors
    /// When too many wait, or the database fails.
    pub(crate) async fn find<D: Database>(
        &self,
        db: &D,
        address: Subject,
        lookup: Lookup,
    ) -> Result<Found, StoreError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let db = db.clone();
        let query = move |lookups| find_batch(db.clone(), lookups);
        self.batcher.run(address, lookup, BATCH, query).await
    }

    /// How many lookups have been throttled since the process began.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }
}

async fn find_batch<D: Database>(db: D, lookups: Vec<Lookup>) -> Vec<Result<Found, StoreError>> {
    let count = lookups.len();
    let found: Result<_, StoreError> = db.read(move |view| find_all(view, &lookups)).await;
    match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}

/// The credentials behind these tokens, in their order.
fn find_all<Q: Queries>(view: &mut Q, lookups: &[Lookup]) -> Result<Vec<Found>, StoreError> {
    let digests = |of_partners: bool| {
        let mut digests = Vec::new();
        for lookup in lookups {
            if (lookup.kind == KeyKind::Partner) == of_partners {
                digests.extend_from_slice(&lookup.digests);
            }
        }
        digests
    };
    let (partner, admin) = (digests(true), digests(false));
    let mut found: HashMap<[u8; 32], Credential> = HashMap::new();
    if !partner.is_empty() {
        let keys: Vec<(KeyDigest, FoundKey)> = view.keys_by_digest(&partner)?;
        found.extend(
            keys.into_iter()
                .map(|(digest, found)| (*digest.as_bytes(), found.into())),
        );
    }
    if !admin.is_empty() {
        let keys: Vec<(KeyDigest, AdminKey)> = view.admin_keys_by_digest(&admin)?;
        found.extend(
            keys.into_iter()
                .map(|(digest, key)| (*digest.as_bytes(), key.into())),
        );
    }
    let callers = lookups.iter().map(|lookup| {
        let mut digests = lookup.digests.iter();
        digests.find_map(|digest| Some((found.get(digest.as_bytes()).cloned()?, *digest)))
    });
    Ok(callers.collect())
}
