//! Trust rules as exchanges look them up.
//!
//! Anybody may name a rule, so a flood of look-ups must cost the database little: all that wait share one query
//! at a time, and addresses take turns. A rule that was found is used for a moment without asking again; the
//! transaction of an exchange reads it once more.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ids::TrustRuleId;
use ratelimit::Subject;
use stores::{Database, StoreError, prelude::*};
use tokio::time::Instant;
use trust::TrustRule;

use crate::runtime::batcher::{Batcher, BatcherConfig};

/// For how long a rule is used without asking again.
const TTL: Duration = Duration::from_secs(1);
/// How many rules are kept.
const MAX_KEPT: usize = 10_000;
/// How many look-ups one query is about.
const BATCH: usize = 64;

const CONFIG: BatcherConfig = BatcherConfig {
    workers: 1,
    capacity: 8192,
    wait_timeout: Duration::from_secs(5),
    min_interval: Duration::from_millis(2),
};

type Found = Option<Arc<TrustRule>>;

/// The look-ups of one process.
#[derive(Debug)]
pub(crate) struct TrustRules {
    kept: Mutex<HashMap<TrustRuleId, (Instant, Arc<TrustRule>)>>,
    lookups: Batcher<Subject, TrustRuleId, Found>,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            lookups: Batcher::new(CONFIG),
        }
    }
}

impl TrustRules {
    /// A rule that was there a moment ago.
    ///
    /// # Errors
    /// When too many look-ups wait, or the database fails.
    pub(super) async fn find<D: Database>(
        &self,
        db: &D,
        address: Subject,
        id: TrustRuleId,
    ) -> Result<Found, StoreError> {
        let now = Instant::now();
        if let Some((read_at, rule)) = self.kept().get(&id)
            && now.saturating_duration_since(*read_at) < TTL
        {
            return Ok(Some(Arc::clone(rule)));
        }
        let db = db.clone();
        let query = move |ids| find_all(db.clone(), ids);
        let found = self.lookups.run(address, id, BATCH, query).await?;
        if let Some(rule) = &found {
            let mut kept = self.kept();
            if kept.len() >= MAX_KEPT {
                kept.retain(|_, (read_at, _)| now.saturating_duration_since(*read_at) < TTL);
            }
            if kept.len() < MAX_KEPT {
                kept.insert(id, (now, Arc::clone(rule)));
            }
        }
        Ok(found)
    }

    /// Has the next look-up ask again.
    pub(crate) fn forget(&self, id: TrustRuleId) {
        self.kept().remove(&id);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<TrustRuleId, (Instant, Arc<TrustRule>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn find_all<D: Database>(db: D, ids: Vec<TrustRuleId>) -> Vec<Result<Found, StoreError>> {
    let count = ids.len();
    let found: Result<Vec<Found>, StoreError> = db
        .read(move |view| {
            let mut found: HashMap<TrustRuleId, Found> = HashMap::new();
            for &id in &ids {
                if let Entry::Vacant(place) = found.entry(id) {
                    place.insert(view.trust_rule(id)?.map(Arc::new));
                }
            }
            let of = |id| found.get(id).cloned().flatten();
            Ok(ids.iter().map(of).collect())
        })
        .await;
    match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
