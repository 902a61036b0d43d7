//! Who waits until an org stands elsewhere: a map in memory, and one task that asks for all of them.
//!
//! What this process changes is noted and told at once; what other processes change is found by asking
//! for all orgs that somebody waits for, many at a time, [`BEAT`] after [`BEAT`]. A waiter holds no
//! thread and asks nothing while it waits, and is forgotten when its future is dropped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ids::OrgId;
use orgs::{OrgQueries as _, OrgStatus, OrgVisibility};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{OrgWithSteps, Service};

/// How often it is asked whether other processes have changed something.
const BEAT: Duration = Duration::from_millis(400);
/// How many orgs are asked for at once.
const BATCH: usize = 500;
/// Of how many orgs is told at once.
const FEW: usize = 50;
/// How many of those who come to wait, or have waited, ask storage at the same time: fewer than it lets
/// wait.
const TURNS: usize = 1024;

/// Those who wait in this process.
#[derive(Debug)]
pub(crate) struct Waiters {
    orgs: Mutex<HashMap<OrgId, Awaited>>,
    /// What this process has changed of what somebody waits for.
    noted: Mutex<HashSet<OrgId>>,
    bell: Notify,
    dismissed: watch::Sender<bool>,
    turns: Semaphore,
}

/// An org that somebody waits for.
#[derive(Debug)]
struct Awaited {
    waiting: usize,
    /// Where it stands as far as those who wait have been told.
    status: Option<OrgStatus>,
    news: watch::Sender<Option<OrgStatus>>,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            orgs: Mutex::default(),
            noted: Mutex::default(),
            bell: Notify::new(),
            dismissed: watch::Sender::new(false),
            turns: Semaphore::new(TURNS),
        }
    }
}

impl Waiters {
    /// Enters somebody who is about to ask where an org stands and then to wait.
    pub(crate) fn enter(&self, id: OrgId) -> Waiter<'_> {
        let mut orgs = self.orgs.lock();
        let awaited = orgs.entry(id).or_insert_with(|| Awaited {
            waiting: 0,
            status: None,
            news: watch::Sender::new(None),
        });
        awaited.waiting += 1;
        Waiter {
            waiters: self,
            id,
            news: awaited.news.subscribe(),
        }
    }

    /// To be called after a commit that may have changed an org.
    pub(crate) fn note(&self, id: OrgId) {
        if self.orgs.lock().contains_key(&id) {
            self.noted.lock().insert(id);
            self.bell.notify_one();
        }
    }

    /// Sends all who wait away with what is known, now and from now on.
    pub(crate) fn dismiss(&self) {
        self.dismissed.send_replace(true);
    }

    /// One after the other, so that many who come or are told at once don't crowd storage out.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// All orgs that somebody waits for, and where they stand as far as is known.
    fn all(&self) -> Vec<(OrgId, OrgStatus)> {
        let orgs = self.orgs.lock();
        let known = orgs.iter();
        known
            .filter_map(|(&id, awaited)| Some((id, awaited.status?)))
            .collect()
    }

    /// Those of them that this process has changed.
    fn changed(&self) -> Vec<(OrgId, OrgStatus)> {
        let noted = std::mem::take(&mut *self.noted.lock());
        let orgs = self.orgs.lock();
        let known = noted.into_iter();
        known
            .filter_map(|id| Some((id, orgs.get(&id)?.status?)))
            .collect()
    }

    fn tell(&self, id: OrgId, status: OrgStatus) {
        if let Some(awaited) = self.orgs.lock().get_mut(&id) {
            awaited.status = Some(status);
            awaited.news.send_replace(Some(status));
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.orgs.lock().len()
    }
}

/// One who waits; when dropped, nobody asks on its behalf any more.
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: OrgId,
    news: watch::Receiver<Option<OrgStatus>>,
}

impl Waiter<'_> {
    /// Waits until it is told that the org stands elsewhere than where it was `seen`, and says so; or
    /// until the deadline, or until all are sent away.
    pub(crate) async fn news(&mut self, seen: OrgStatus, deadline: Instant) -> bool {
        // What is asked next is compared with this. If it is out of date already, that will be told.
        if let Some(awaited) = self.waiters.orgs.lock().get_mut(&self.id) {
            awaited.status = Some(seen);
        }
        let mut dismissed = self.waiters.dismissed.subscribe();
        let news = &mut self.news;
        let elsewhere = async {
            // What was told before is of no interest: it may be older than what was seen.
            while news.changed().await.is_ok() {
                if news
                    .borrow_and_update()
                    .is_some_and(|status| status != seen)
                {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            told = elsewhere => told,
            () = sleep_until(deadline) => false,
            _ = dismissed.wait_for(|dismissed| *dismissed) => false,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut orgs = self.waiters.orgs.lock();
        if let Some(awaited) = orgs.get_mut(&self.id) {
            awaited.waiting -= 1;
            if awaited.waiting == 0 {
                orgs.remove(&self.id);
            }
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Tells those who wait for orgs when these stand elsewhere, until `stop` turns true.
    pub async fn watch_orgs(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let waiters = self.statuses.waiters();
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            let asked = tokio::select! {
                _ = beats.tick() => waiters.all(),
                () = waiters.bell.notified() => waiters.changed(),
                _ = stop.changed() => Vec::new(),
            };
            if let Err(error) = self.tell_waiters(asked).await {
                tracing::warn!(
                    error = error.as_dyn(),
                    "it can't be told where orgs stand; asking again"
                );
            }
        }
    }

    /// Sends all who wait for orgs away with what is known, now and from now on: the server is about to
    /// stop.
    pub fn dismiss_waiters(&self) {
        self.statuses.waiters().dismiss();
    }

    async fn tell_waiters(&self, asked: Vec<(OrgId, OrgStatus)>) -> Result<(), StoreError> {
        for batch in asked.chunks(BATCH) {
            let known: HashMap<OrgId, OrgStatus> = batch.iter().copied().collect();
            let ids: Vec<OrgId> = known.keys().copied().collect();
            let stand: Result<_, StoreError> =
                self.db.read(move |view| view.org_standings(&ids)).await;
            let mut moved = stand?;
            moved.retain(|now| known.get(&now.id) != Some(&now.status));
            for few in moved.chunks(FEW) {
                self.tell_of(few.iter().map(|now| now.id).collect()).await?;
            }
        }
        Ok(())
    }

    /// Reads where these orgs stand and tells those who wait for them.
    async fn tell_of(&self, ids: Vec<OrgId>) -> Result<(), StoreError> {
        // Behind those who were told before: what is read now is not to be out of date when whoever is
        // told of it comes to read it.
        let turn = self.statuses.waiters().turn().await;
        let asking = self.statuses.asking();
        let found: Result<Vec<OrgWithSteps>, StoreError> = self
            .db
            .read(move |view| {
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    if let Some(org) = view.org(OrgVisibility::All, id)? {
                        found.push(OrgWithSteps::new(org, view.org_steps(id)?));
                    }
                }
                Ok(found)
            })
            .await;
        drop(turn);
        for found in found? {
            let (id, status) = (found.org.id, found.org.status);
            // Those who are told look it up there, all of them.
            self.statuses.remember(asking, Arc::new(found));
            self.statuses.waiters().tell(id, status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::build::Build;

    use super::*;

    const PROVISIONING: OrgStatus = OrgStatus::Provisioning;

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_a_status_that_was_not_seen() {
        let (waiters, id) = (Waiters::default(), Build::new().id());
        let mut waiter = waiters.enter(id);
        waiters.tell(id, OrgStatus::Ready);
        assert!(!waiter.news(OrgStatus::Ready, in_a_minute()).await);
        waiters.tell(id, OrgStatus::Deleted);
        assert!(waiter.news(OrgStatus::Ready, in_a_minute()).await);
        let mut late = waiters.enter(id);
        let old = late.news(OrgStatus::Deprovisioning, in_a_minute());
        assert!(!old.await, "what was told before may be out of date");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_and_then_forgotten() {
        let (waiters, id) = (Arc::new(Waiters::default()), Build::new().id());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let waiters = Arc::clone(&waiters);
                tokio::spawn(async move {
                    let mut waiter = waiters.enter(id);
                    waiter.news(PROVISIONING, in_a_minute()).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(waiters.all(), [(id, PROVISIONING)]);
        assert_eq!(waiters.changed(), []);
        waiters.note(id);
        assert_eq!(waiters.changed(), [(id, PROVISIONING)]);
        assert_eq!(waiters.changed(), []);
        waiters.tell(id, OrgStatus::Ready);
        for task in tasks {
            assert!(task.await.unwrap());
        }
        assert_eq!(waiters.count(), 0);
        waiters.note(id);
        assert_eq!(waiters.changed(), [], "nobody waits for it");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_is_forgotten() {
        let (waiters, id) = (Waiters::default(), Build::new().id());
        let stays = waiters.enter(id);
        let mut goes = waiters.enter(id);
        let soon = Duration::from_secs(1);
        let waits = tokio::time::timeout(soon, goes.news(PROVISIONING, in_a_minute()));
        assert!(waits.await.is_err());
        drop(goes);
        assert_eq!(waiters.count(), 1);
        drop(stays);
        assert_eq!(waiters.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_deadline_or_once_all_are_sent_away() {
        let (waiters, id) = (Waiters::default(), Build::new().id());
        let began = Instant::now();
        let mut waiter = waiters.enter(id);
        assert!(!waiter.news(PROVISIONING, in_a_minute()).await);
        assert_eq!(began.elapsed(), Duration::from_secs(60));
        waiters.dismiss();
        assert!(!waiter.news(PROVISIONING, in_a_minute()).await);
        assert_eq!(began.elapsed(), Duration::from_secs(60));
    }
}
