//! Where orgs stand, remembered for a moment: many clients poll the same few orgs.
//!
//! What this process changes is forgotten as soon as it is committed; what another process changes is
//! seen [`TERM`] later at the latest.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ids::OrgId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{OrgWithSteps, waiters::Waiters};

/// How long a status counts, from the moment at which it was asked for.
const TERM: Duration = Duration::from_millis(250);
/// Into how many parts the memory is split, so that callers seldom wait for each other.
const SHARDS: usize = 64;
/// How many orgs a part remembers.
const PER_SHARD: usize = 1024;

/// The memory of one process.
#[derive(Debug)]
pub(crate) struct Statuses {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Rises with every change that this process makes.
    changes: AtomicU64,
    waiters: Waiters,
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<OrgId, Slot>,
    /// Nothing that was asked for before this change counts.
    floor: u64,
}

#[derive(Debug)]
enum Slot {
    /// Where the org stood when it was asked for.
    Asked(Instant, Arc<OrgWithSteps>),
    /// This change was its last; who asked before it has been overtaken.
    Changed(Instant, u64),
}

impl Slot {
    fn since(&self) -> Instant {
        match self {
            Self::Asked(at, _) | Self::Changed(at, _) => *at,
        }
    }
}

/// The moment at which a question was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Instant,
    change: u64,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            changes: AtomicU64::new(0),
            waiters: Waiters::default(),
        }
    }
}

impl Statuses {
    fn shard(&self, id: OrgId) -> Option<&Mutex<Shard>> {
        let hash = usize::try_from(self.hasher.hash_one(id) >> 32).unwrap_or_default();
        self.shards.get(hash % SHARDS)
    }

    /// Where an org stood a moment ago.
    pub(crate) fn recall(&self, id: OrgId) -> Option<Arc<OrgWithSteps>> {
        match self.shard(id)?.lock().slots.get(&id)? {
            Slot::Asked(at, status) if at.elapsed() < TERM => Some(Arc::clone(status)),
            Slot::Asked(..) | Slot::Changed(..) => None,
        }
    }

    /// To be called before the database is asked.
    pub(crate) fn asking(&self) -> Asked {
        Asked {
            at: Instant::now(),
            change: self.changes.load(Ordering::SeqCst),
        }
    }

    /// Remembers an answer, unless a change has overtaken it.
    pub(crate) fn remember(&self, asked: Asked, status: Arc<OrgWithSteps>) {
        let id = status.org.id;
        let Some(shard) = self.shard(id) else { return };
        let mut shard = shard.lock();
        let overtaken = match shard.slots.get(&id) {
            Some(Slot::Changed(_, change)) => *change > asked.change,
            Some(Slot::Asked(at, _)) => *at > asked.at,
            None => false,
        };
        if overtaken || shard.floor > asked.change {
            return;
        }
        self.make_room(&mut shard);
        shard.slots.insert(id, Slot::Asked(asked.at, status));
    }

    /// Those who wait until an org stands elsewhere.
    pub(crate) const fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// To be called after a commit that may have changed an org.
    pub(crate) fn changed(&self, id: OrgId) {
        self.forget(id);
        self.waiters.note(id);
    }

    fn forget(&self, id: OrgId) {
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(shard) = self.shard(id) else { return };
        let mut shard = shard.lock();
        self.make_room(&mut shard);
        let slot = Slot::Changed(Instant::now(), change);
        shard.slots.insert(id, slot);
    }

    /// Forgets what counts no more, or everything. A change that is forgotten leaves a floor behind,
    /// for someone may still be on the way with what they asked before it.
    fn make_room(&self, shard: &mut Shard) {
        if shard.slots.len() < PER_SHARD {
            return;
        }
        shard.floor = self.changes.load(Ordering::SeqCst);
        shard.slots.retain(|_, slot| slot.since().elapsed() < TERM);
        if shard.slots.len() >= PER_SHARD {
            shard.slots.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orgs::{OrgStatus, Step};
    use testkit::build::Build;

    use super::*;

    fn status(build: &Build) -> Arc<OrgWithSteps> {
        let org = build.org(&build.key(&build.partner()));
        let steps: Vec<Step> = Vec::new();
        Arc::new(OrgWithSteps::new(org, steps))
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_counts_for_its_term_and_no_longer() {
        let (statuses, status) = (Statuses::default(), status(&Build::new()));
        let id = status.org.id;
        assert!(statuses.recall(id).is_none());
        statuses.remember(statuses.asking(), status);
        tokio::time::advance(TERM - Duration::from_millis(1)).await;
        assert_eq!(
            statuses.recall(id).unwrap().org.status,
            OrgStatus::Provisioning
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(statuses.recall(id).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_forgotten_at_once_and_whoever_asked_before_it_is_overtaken() {
        let (statuses, status) = (Statuses::default(), status(&Build::new()));
        let id = status.org.id;
        let before = statuses.asking();
        statuses.remember(before, Arc::clone(&status));
        statuses.changed(id);
        assert!(statuses.recall(id).is_none());
        statuses.remember(before, Arc::clone(&status));
        assert!(statuses.recall(id).is_none());
        statuses.remember(statuses.asking(), status);
        assert!(statuses.recall(id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn many_orgs_take_bounded_room_and_no_change_is_lost_by_it() {
        let (statuses, build) = (Statuses::default(), Build::new());
        let late = status(&build);
        let before = statuses.asking();
        statuses.changed(late.org.id);
        for _ in 0..(SHARDS * PER_SHARD * 2) {
            statuses.changed(build.id());
        }
        let slots: usize = statuses.shards.iter().map(|s| s.lock().slots.len()).sum();
        assert!(slots <= SHARDS * PER_SHARD, "{slots}");
        statuses.remember(before, Arc::clone(&late));
        assert!(statuses.recall(late.org.id).is_none());
    }
}
