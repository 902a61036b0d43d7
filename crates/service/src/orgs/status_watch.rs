//! Watch on the statuses of orgs: subscriptions in memory, and one task that reads the orgs of all of them.
//!
//! A change by this process is published at once; a change by another process is found by reading the statuses
//! of all watched orgs, many at a time, every [`POLL_INTERVAL`]. A subscription holds no thread and reads
//! nothing while it waits, and ends when it is dropped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ids::OrgId;
use orgs::{OrgStatus, OrgVisibility};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::OrgWithSteps;
use crate::Service;

/// How often the database is asked for changes by other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// How many orgs one query is about.
const BATCH: usize = 500;
/// How many orgs are read and published at once.
const PUBLISH_BATCH: usize = 50;
/// How many subscribers read from storage at the same time, before or after their wait: fewer than storage lets
/// wait.
const MAX_CONCURRENT_READS: usize = 1024;

/// The subscriptions of this process.
#[derive(Debug)]
pub(crate) struct StatusWatch {
    orgs: Mutex<HashMap<OrgId, WatchedOrg>>,
    /// The watched orgs that this process has changed.
    changed: Mutex<HashSet<OrgId>>,
    has_changed: Notify,
    closed: CancellationToken,
    reads: Semaphore,
}

#[derive(Debug)]
struct WatchedOrg {
    subscriptions: usize,
    /// The status that subscribers know.
    status: Option<OrgStatus>,
    publisher: watch::Sender<Option<OrgStatus>>,
}

impl Default for StatusWatch {
    fn default() -> Self {
        Self {
            orgs: Mutex::default(),
            changed: Mutex::default(),
            has_changed: Notify::new(),
            closed: CancellationToken::new(),
            reads: Semaphore::new(MAX_CONCURRENT_READS),
        }
    }
}

impl StatusWatch {
    /// Subscribes to an org whose status is about to be read.
    pub(crate) fn subscribe(&self, id: OrgId) -> Subscription<'_> {
        let mut orgs = self.orgs.lock();
        let watched = orgs.entry(id).or_insert_with(|| WatchedOrg {
            subscriptions: 0,
            status: None,
            publisher: watch::Sender::new(None),
        });
        watched.subscriptions += 1;
        Subscription {
            watch: self,
            id,
            published: watched.publisher.subscribe(),
        }
    }

    /// To be called after a commit that may have changed an org.
    pub(crate) fn notify(&self, id: OrgId) {
        if self.orgs.lock().contains_key(&id) {
            self.changed.lock().insert(id);
            self.has_changed.notify_one();
        }
    }

    /// Ends all waits, now and from now on.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until all waits are to end.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A permit to read from storage, so that many subscribers that read at once don't overload it.
    pub(crate) async fn read_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }

    /// All watched orgs, with the statuses that subscribers know.
    fn watched(&self) -> Vec<(OrgId, OrgStatus)> {
        let orgs = self.orgs.lock();
        orgs.iter()
            .filter_map(|(&id, watched)| Some((id, watched.status?)))
            .collect()
    }

    /// The watched orgs that this process has changed since the last call.
    fn take_changed(&self) -> Vec<(OrgId, OrgStatus)> {
        let changed = std::mem::take(&mut *self.changed.lock());
        let orgs = self.orgs.lock();
        changed
            .into_iter()
            .filter_map(|id| Some((id, orgs.get(&id)?.status?)))
            .collect()
    }

    fn publish(&self, id: OrgId, status: OrgStatus) {
        if let Some(watched) = self.orgs.lock().get_mut(&id) {
            watched.status = Some(status);
            watched.publisher.send_replace(Some(status));
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.orgs.lock().len()
    }
}

/// A subscription to one org, until it is dropped.
pub(crate) struct Subscription<'a> {
    watch: &'a StatusWatch,
    id: OrgId,
    published: watch::Receiver<Option<OrgStatus>>,
}

impl Subscription<'_> {
    /// Waits until another status than this one is published; false at the deadline, or when the watch is
    /// closed.
    pub(crate) async fn changed(&mut self, known: OrgStatus, deadline: Instant) -> bool {
        // The next read is compared with this. If it is out of date already, that will be published.
        if let Some(watched) = self.watch.orgs.lock().get_mut(&self.id) {
            watched.status = Some(known);
        }
        let published = &mut self.published;
        let changed = async {
            // What was published before may be older than the known status.
            while published.changed().await.is_ok() {
                if published
                    .borrow_and_update()
                    .is_some_and(|status| status != known)
                {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            is_changed = changed => is_changed,
            () = sleep_until(deadline) => false,
            () = self.watch.closed.cancelled() => false,
        }
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut orgs = self.watch.orgs.lock();
        if let Some(watched) = orgs.get_mut(&self.id) {
            watched.subscriptions -= 1;
            if watched.subscriptions == 0 {
                orgs.remove(&self.id);
            }
        }
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Publishes the changed statuses of watched orgs until `stop` is cancelled.
    pub async fn watch_org_statuses(self: Arc<Self>, stop: CancellationToken) {
        let watch = self.statuses.watch();
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let known = tokio::select! {
                _ = polls.tick() => watch.watched(),
                () = watch.has_changed.notified() => watch.take_changed(),
                () = stop.cancelled() => Vec::new(),
            };
            if let Err(error) = self.publish_changed(known).await {
                tracing::warn!(
                    error = error.as_dyn(),
                    "reading the statuses of watched orgs failed; retrying"
                );
            }
        }
    }

    /// Ends the waits of all status polls and receipts that are held, now and from now on: the server is about
    /// to stop.
    pub fn close_status_watch(&self) {
        self.statuses.watch().close();
    }

    /// Publishes the statuses of those of these orgs that have another one than subscribers know.
    async fn publish_changed(&self, known: Vec<(OrgId, OrgStatus)>) -> Result<(), StoreError> {
        for batch in known.chunks(BATCH) {
            let known: HashMap<OrgId, OrgStatus> = batch.iter().copied().collect();
            let ids: Vec<OrgId> = known.keys().copied().collect();
            let summaries: Result<_, StoreError> = self
                .db
                .read(move |view| view.org_status_summaries(&ids))
                .await;
            let mut changed = summaries?;
            changed.retain(|now| known.get(&now.id) != Some(&now.status));
            for changed in changed.chunks(PUBLISH_BATCH) {
                self.publish_statuses(changed.iter().map(|now| now.id).collect())
                    .await?;
            }
        }
        Ok(())
    }

    async fn publish_statuses(&self, ids: Vec<OrgId>) -> Result<(), StoreError> {
        // After the reads of subscribers that were notified before: what is read now must still be valid when the
        // subscribers that are notified of it read it.
        let permit = self.statuses.watch().read_permit().await;
        let read = self.statuses.begin_read();
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
        drop(permit);
        for found in found? {
            let (id, status) = (found.org.id, found.org.status);
            // All subscribers that are notified read it from the cache.
            self.statuses.insert(read, Arc::new(found));
            self.statuses.watch().publish(id, status);
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
    async fn another_status_than_the_known_one_is_published() {
        let (watch, id) = (StatusWatch::default(), Build::new().id());
        let mut subscription = watch.subscribe(id);
        watch.publish(id, OrgStatus::Ready);
        assert!(!subscription.changed(OrgStatus::Ready, in_a_minute()).await);
        watch.publish(id, OrgStatus::Deleted);
        assert!(subscription.changed(OrgStatus::Ready, in_a_minute()).await);
        let mut late = watch.subscribe(id);
        let old = late.changed(OrgStatus::Deprovisioning, in_a_minute());
        assert!(!old.await, "what was published before may be out of date");
    }

    #[tokio::test(start_paused = true)]
    async fn subscribers_are_notified_and_their_subscriptions_end() {
        let (watch, id) = (Arc::new(StatusWatch::default()), Build::new().id());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let watch = Arc::clone(&watch);
                tokio::spawn(async move {
                    let mut subscription = watch.subscribe(id);
                    subscription.changed(PROVISIONING, in_a_minute()).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(watch.watched(), [(id, PROVISIONING)]);
        assert_eq!(watch.take_changed(), []);
        watch.notify(id);
        assert_eq!(watch.take_changed(), [(id, PROVISIONING)]);
        assert_eq!(watch.take_changed(), []);
        watch.publish(id, OrgStatus::Ready);
        for task in tasks {
            assert!(task.await.unwrap());
        }
        assert_eq!(watch.count(), 0);
        watch.notify(id);
        assert_eq!(watch.take_changed(), [], "nobody watches it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_subscription_ends() {
        let (watch, id) = (StatusWatch::default(), Build::new().id());
        let stays = watch.subscribe(id);
        let mut goes = watch.subscribe(id);
        let soon = Duration::from_secs(1);
        let waits = tokio::time::timeout(soon, goes.changed(PROVISIONING, in_a_minute()));
        assert!(waits.await.is_err());
        drop(goes);
        assert_eq!(watch.count(), 1);
        drop(stays);
        assert_eq!(watch.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_the_deadline_or_when_the_watch_is_closed() {
        let (watch, id) = (StatusWatch::default(), Build::new().id());
        let began = Instant::now();
        let mut subscription = watch.subscribe(id);
        assert!(!subscription.changed(PROVISIONING, in_a_minute()).await);
        assert_eq!(began.elapsed(), Duration::from_secs(60));
        watch.close();
        assert!(!subscription.changed(PROVISIONING, in_a_minute()).await);
        assert_eq!(began.elapsed(), Duration::from_secs(60));
    }
}
