//! Status cache: clients poll the same orgs again and again. Entries are valid for half a second.
//!
//! A change by this process invalidates the entry at its commit; a change by another process is seen [`TTL`]
//! later at the latest. One query for many orgs that were polled of late revalidates the entries of those that
//! have not changed, where no work is pending.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::quality::RandomState;
use ids::OrgId;
use orgs::StatusSummary;
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use tokio::time::Instant;

use super::{OrgWithSteps, status_watch::StatusWatch};
use crate::Service;

/// How long an entry is valid, from the moment at which its read began.
const TTL: Duration = Duration::from_millis(500);
/// How often [`Service::revalidate_statuses`] is to be called, so that hot entries seldom expire before.
pub const REVALIDATE_INTERVAL: Duration = Duration::from_millis(180);
/// How many orgs one query is about.
const BATCH: usize = 500;
/// Into how many parts the cache is split, so that callers seldom wait for each other.
const SHARDS: usize = 64;
/// How many entries a part has at the most.
const PER_SHARD: usize = 1024;

/// The status cache of one process.
#[derive(Debug)]
pub(crate) struct StatusCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Counts the changes that this process makes.
    changes: AtomicU64,
    watch: StatusWatch,
}

/// How often the status cache was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// It had a valid entry.
    pub hits: u64,
    /// It had none.
    pub misses: u64,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<OrgId, Entry, RandomState>,
    counts: CacheCounts,
    /// What was read before this change is not cached.
    min_change: u64,
}

#[derive(Debug)]
enum Entry {
    Cached {
        status: Arc<OrgWithSteps>,
        /// When its read, or its last revalidation, began.
        read_at: Instant,
        /// Whether it was used since the last revalidation.
        is_hot: bool,
    },
    /// The org was changed; what was read before that change is not cached.
    Invalidated { at: Instant, change: u64 },
}

impl Entry {
    const fn since(&self) -> Instant {
        match self {
            Self::Cached { read_at: at, .. } | Self::Invalidated { at, .. } => *at,
        }
    }
}

/// When a read began, and after which change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadStart {
    at: Instant,
    change: u64,
}

impl Default for StatusCache {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            changes: AtomicU64::new(0),
            watch: StatusWatch::default(),
        }
    }
}

impl StatusCache {
    fn shard(&self, id: OrgId) -> Option<&Mutex<Shard>> {
        let hash = usize::try_from(self.hasher.hash_one(id) >> 32).unwrap_or_default();
        self.shards.get(hash % SHARDS)
    }

    pub(crate) fn get(&self, id: OrgId) -> Option<Arc<OrgWithSteps>> {
        let mut shard = self.shard(id)?.lock();
        let found = match shard.entries.get_mut(&id) {
            Some(Entry::Cached {
                status,
                read_at,
                is_hot,
            }) if read_at.elapsed() < TTL => {
                *is_hot = true;
                Some(Arc::clone(status))
            }
            Some(Entry::Cached { .. } | Entry::Invalidated { .. }) | None => None,
        };
        // Under the lock that is held anyway.
        match found {
            Some(_) => shard.counts.hits += 1,
            None => shard.counts.misses += 1,
        }
        found
    }

    fn counts(&self) -> CacheCounts {
        let shards = self.shards.iter().map(|shard| shard.lock().counts);
        shards.fold(CacheCounts::default(), |sum, counts| CacheCounts {
            hits: sum.hits + counts.hits,
            misses: sum.misses + counts.misses,
        })
    }

    /// To be called before a read begins.
    pub(crate) fn begin_read(&self) -> ReadStart {
        ReadStart {
            at: Instant::now(),
            change: self.changes.load(Ordering::SeqCst),
        }
    }

    /// Caches what was read, unless the org has changed since the read began.
    pub(crate) fn insert(&self, read: ReadStart, status: Arc<OrgWithSteps>) {
        let id = status.org.id;
        let Some(shard) = self.shard(id) else { return };
        let mut shard = shard.lock();
        let is_stale = match shard.entries.get(&id) {
            Some(Entry::Invalidated { change, .. }) => *change > read.change,
            Some(Entry::Cached { read_at, .. }) => *read_at > read.at,
            None => false,
        };
        if is_stale || shard.min_change > read.change {
            return;
        }
        self.make_room(&mut shard);
        let entry = Entry::Cached {
            status,
            read_at: read.at,
            is_hot: false,
        };
        shard.entries.insert(id, entry);
    }

    /// The entries that were used since the last call, of orgs with no pending work.
    fn take_hot(&self) -> Vec<Arc<OrgWithSteps>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for entry in shard.lock().entries.values_mut() {
                if let Entry::Cached { status, is_hot, .. } = entry
                    && std::mem::take(is_hot)
                    && !status.org.status.is_pending()
                {
                    all.push(Arc::clone(status));
                }
            }
        }
        all
    }

    /// Makes an entry valid for another TTL, or removes it if the org has changed.
    fn revalidate(&self, read: ReadStart, status: &Arc<OrgWithSteps>, now: Option<StatusSummary>) {
        let org = &status.org;
        let Some(shard) = self.shard(org.id) else {
            return;
        };
        let mut shard = shard.lock();
        // Only the entry that was asked about: it may have been replaced or invalidated meanwhile.
        let Some(Entry::Cached {
            status: cached,
            read_at,
            ..
        }) = shard.entries.get_mut(&org.id)
        else {
            return;
        };
        if !Arc::ptr_eq(cached, status) {
            return;
        }
        let is_unchanged = now.is_some_and(|now| {
            (now.id, now.status, now.updated_at) == (org.id, org.status, org.updated_at)
        });
        if is_unchanged {
            *read_at = read.at.max(*read_at);
        } else {
            shard.entries.remove(&org.id);
        }
    }

    /// The watch on orgs' statuses, which is notified of every invalidation.
    pub(crate) const fn watch(&self) -> &StatusWatch {
        &self.watch
    }

    /// To be called after a commit that may have changed an org.
    pub(crate) fn invalidate(&self, id: OrgId) {
        let at = Instant::now();
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(shard) = self.shard(id) {
            let mut shard = shard.lock();
            self.make_room(&mut shard);
            shard.entries.insert(id, Entry::Invalidated { at, change });
        }
        self.watch.notify(id);
    }

    /// Removes expired entries, or all. `min_change` stands for the invalidations that are removed: a read that
    /// began before them may still be on its way.
    fn make_room(&self, shard: &mut Shard) {
        if shard.entries.len() < PER_SHARD {
            return;
        }
        shard.min_change = self.changes.load(Ordering::SeqCst);
        shard
            .entries
            .retain(|_, entry| entry.since().elapsed() < TTL);
        if shard.entries.len() >= PER_SHARD {
            shard.entries.clear();
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// How often the status cache was asked since the process began.
    #[must_use]
    pub fn status_cache_counts(&self) -> CacheCounts {
        self.statuses.counts()
    }

    /// Revalidates the cached statuses that clients go on polling; to be called every [`REVALIDATE_INTERVAL`].
    ///
    /// # Errors
    /// When the database fails; then the entries expire, and each is read by whoever polls next.
    pub async fn revalidate_statuses(&self) -> Result<(), StoreError> {
        for batch in self.statuses.take_hot().chunks(BATCH) {
            let ids: Vec<OrgId> = batch.iter().map(|status| status.org.id).collect();
            let read = self.statuses.begin_read();
            let summaries: Result<_, StoreError> = self
                .db
                .read(move |view| view.org_status_summaries(&ids))
                .await;
            let summaries: HashMap<OrgId, StatusSummary> =
                summaries?.into_iter().map(|now| (now.id, now)).collect();
            for status in batch {
                let now = summaries.get(&status.org.id).copied();
                self.statuses.revalidate(read, status, now);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orgs::{Org, OrgStatus, Step};
    use testkit::build::Build;

    use super::*;

    fn status(build: &Build) -> Arc<OrgWithSteps> {
        let org = build.org(&build.key(&build.partner()));
        let steps: Vec<Step> = Vec::new();
        Arc::new(OrgWithSteps::new(org, steps))
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_valid_for_its_ttl() {
        let (statuses, status) = (StatusCache::default(), status(&Build::new()));
        let id = status.org.id;
        assert!(statuses.get(id).is_none());
        statuses.insert(statuses.begin_read(), status);
        tokio::time::advance(TTL - Duration::from_millis(1)).await;
        assert_eq!(
            statuses.get(id).unwrap().org.status,
            OrgStatus::Provisioning
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(statuses.get(id).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_invalidates_at_once_and_an_earlier_read_is_not_cached() {
        let (statuses, status) = (StatusCache::default(), status(&Build::new()));
        let id = status.org.id;
        let before = statuses.begin_read();
        statuses.insert(before, Arc::clone(&status));
        statuses.invalidate(id);
        assert!(statuses.get(id).is_none());
        statuses.insert(before, Arc::clone(&status));
        assert!(statuses.get(id).is_none());
        statuses.insert(statuses.begin_read(), status);
        assert!(statuses.get(id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hot_entry_of_an_unchanged_org_is_revalidated() {
        let (statuses, build) = (StatusCache::default(), Build::new());
        let ready = Arc::new(OrgWithSteps::new(
            Org {
                status: OrgStatus::Ready,
                ..build.org(&build.key(&build.partner()))
            },
            Vec::new(),
        ));
        let org = &ready.org;
        let as_it_was = StatusSummary {
            id: org.id,
            status: org.status,
            updated_at: org.updated_at,
        };
        let pending = status(&build);
        statuses.insert(statuses.begin_read(), Arc::clone(&ready));
        statuses.insert(statuses.begin_read(), Arc::clone(&pending));
        assert!(statuses.take_hot().is_empty());
        for id in [org.id, pending.org.id] {
            statuses.get(id).unwrap();
        }
        let hot = statuses.take_hot();
        assert_eq!(hot.len(), 1);
        assert!(Arc::ptr_eq(&hot[0], &ready));
        assert!(statuses.take_hot().is_empty());

        tokio::time::advance(TTL * 3 / 4).await;
        statuses.revalidate(statuses.begin_read(), &ready, Some(as_it_was));
        tokio::time::advance(TTL * 3 / 4).await;
        assert!(statuses.get(org.id).is_some());
        assert!(statuses.get(pending.org.id).is_none());

        // A change that commits while the query is on its way invalidates its answer.
        let read = statuses.begin_read();
        statuses.invalidate(org.id);
        statuses.revalidate(read, &ready, Some(as_it_was));
        assert!(statuses.get(org.id).is_none());

        for now in [
            None,
            Some(StatusSummary {
                status: OrgStatus::Suspended,
                ..as_it_was
            }),
            Some(StatusSummary {
                updated_at: org.updated_at + time::Duration::microseconds(1),
                ..as_it_was
            }),
        ] {
            statuses.insert(statuses.begin_read(), Arc::clone(&ready));
            assert!(statuses.get(org.id).is_some());
            statuses.revalidate(statuses.begin_read(), &ready, now);
            assert!(statuses.get(org.id).is_none(), "{now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded_and_no_change_is_lost_by_it() {
        let (statuses, build) = (StatusCache::default(), Build::new());
        let late = status(&build);
        let before = statuses.begin_read();
        statuses.invalidate(late.org.id);
        for _ in 0..(SHARDS * PER_SHARD * 2) {
            statuses.invalidate(build.id());
        }
        let entries: usize = statuses.shards.iter().map(|s| s.lock().entries.len()).sum();
        assert!(entries <= SHARDS * PER_SHARD, "{entries}");
        statuses.insert(before, Arc::clone(&late));
        assert!(statuses.get(late.org.id).is_none());
    }
}
