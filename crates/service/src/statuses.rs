//! Where orgs stand, remembered for a moment: clients poll the same orgs again and again.
//!
//! What this process changes is forgotten as soon as it is committed; what another process changes is
//! seen [`TERM`] later at the latest. Where nothing is pending, one question for many orgs that have
//! been polled of late prolongs the term of those that are as they were.

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
use orgs::{OrgQueries as _, Standing};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{OrgWithSteps, Service, waiters::Waiters};

/// How long a status counts, from the moment at which it was asked for.
const TERM: Duration = Duration::from_millis(500);
/// How often those in use are asked for, so that a term seldom ends before it is prolonged.
const BEAT: Duration = Duration::from_millis(180);
/// How many orgs one question is about.
const BATCH: usize = 500;
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
    slots: HashMap<OrgId, Slot, RandomState>,
    /// Nothing that was asked for before this change counts.
    floor: u64,
}

#[derive(Debug)]
enum Slot {
    /// Where the org stood when it was asked for, and whether anybody has wanted to know of late.
    Asked(Instant, Arc<OrgWithSteps>, bool),
    /// This change was its last; who asked before it has been overtaken.
    Changed(Instant, u64),
}

impl Slot {
    fn since(&self) -> Instant {
        match self {
            Self::Asked(at, ..) | Self::Changed(at, _) => *at,
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
            hasher: RandomState::default(),
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
        match self.shard(id)?.lock().slots.get_mut(&id)? {
            Slot::Asked(at, status, wanted) if at.elapsed() < TERM => {
                *wanted = true;
                Some(Arc::clone(status))
            }
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
            Some(Slot::Asked(at, ..)) => *at > asked.at,
            None => false,
        };
        if overtaken || shard.floor > asked.change {
            return;
        }
        self.make_room(&mut shard);
        shard.slots.insert(id, Slot::Asked(asked.at, status, false));
    }

    /// What has been wanted since the last call, of orgs with nothing pending.
    fn wanted(&self) -> Vec<Arc<OrgWithSteps>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for slot in shard.lock().slots.values_mut() {
                if let Slot::Asked(_, status, wanted) = slot
                    && std::mem::take(wanted)
                    && !status.org.status.is_pending()
                {
                    all.push(Arc::clone(status));
                }
            }
        }
        all
    }

    /// Lets a status count for another term, or no longer if the org has changed.
    fn prolong(&self, asked: Asked, status: &Arc<OrgWithSteps>, now: Option<Standing>) {
        let org = &status.org;
        let Some(shard) = self.shard(org.id) else {
            return;
        };
        let mut shard = shard.lock();
        // Only what was asked about: it may have been replaced, or overtaken by a change.
        let Some(Slot::Asked(at, held, _)) = shard.slots.get_mut(&org.id) else {
            return;
        };
        if !Arc::ptr_eq(held, status) {
            return;
        }
        let same = now.is_some_and(|now| {
            (now.id, now.status, now.updated_at) == (org.id, org.status, org.updated_at)
        });
        if same {
            *at = asked.at.max(*at);
        } else {
            shard.slots.remove(&org.id);
        }
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

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Keeps the statuses in memory that clients go on polling, until `stop` says otherwise.
    pub async fn keep_statuses(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            tokio::select! {
                _ = beats.tick() => {}
                _ = stop.changed() => return,
            }
            if let Err(error) = self.prolong_statuses().await {
                // Their terms end, and each is asked for by whoever polls next.
                tracing::debug!(error = error.as_dyn(), "statuses are not kept");
            }
        }
    }

    async fn prolong_statuses(&self) -> Result<(), StoreError> {
        for batch in self.statuses.wanted().chunks(BATCH) {
            let ids: Vec<OrgId> = batch.iter().map(|status| status.org.id).collect();
            let asked = self.statuses.asking();
            let standings: Result<_, StoreError> =
                self.db.read(move |view| view.org_standings(&ids)).await;
            let standings: HashMap<OrgId, Standing> =
                standings?.into_iter().map(|now| (now.id, now)).collect();
            for status in batch {
                let now = standings.get(&status.org.id).copied();
                self.statuses.prolong(asked, status, now);
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
    async fn what_is_wanted_and_unchanged_counts_for_another_term() {
        let (statuses, build) = (Statuses::default(), Build::new());
        let ready = Arc::new(OrgWithSteps::new(
            Org {
                status: OrgStatus::Ready,
                ..build.org(&build.key(&build.partner()))
            },
            Vec::new(),
        ));
        let org = &ready.org;
        let as_it_was = Standing {
            id: org.id,
            status: org.status,
            updated_at: org.updated_at,
        };
        let pending = status(&build);
        statuses.remember(statuses.asking(), Arc::clone(&ready));
        statuses.remember(statuses.asking(), Arc::clone(&pending));
        assert!(statuses.wanted().is_empty());
        for id in [org.id, pending.org.id] {
            statuses.recall(id).unwrap();
        }
        let wanted = statuses.wanted();
        assert_eq!(wanted.len(), 1);
        assert!(Arc::ptr_eq(&wanted[0], &ready));
        assert!(statuses.wanted().is_empty());

        tokio::time::advance(TERM * 3 / 4).await;
        statuses.prolong(statuses.asking(), &ready, Some(as_it_was));
        tokio::time::advance(TERM * 3 / 4).await;
        assert!(statuses.recall(org.id).is_some());
        assert!(statuses.recall(pending.org.id).is_none());

        // A change that is committed while the question is on its way overtakes it.
        let asked = statuses.asking();
        statuses.changed(org.id);
        statuses.prolong(asked, &ready, Some(as_it_was));
        assert!(statuses.recall(org.id).is_none());

        for now in [
            None,
            Some(Standing {
                status: OrgStatus::Suspended,
                ..as_it_was
            }),
            Some(Standing {
                updated_at: org.updated_at + time::Duration::microseconds(1),
                ..as_it_was
            }),
        ] {
            statuses.remember(statuses.asking(), Arc::clone(&ready));
            assert!(statuses.recall(org.id).is_some());
            statuses.prolong(statuses.asking(), &ready, now);
            assert!(statuses.recall(org.id).is_none(), "{now:?}");
        }
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
