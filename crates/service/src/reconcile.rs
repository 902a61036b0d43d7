//! The reconciler: takes orgs that are due, has them made or taken away, and writes down how it went.
//!
//! Every org is held under a lease while it is worked on (`hold.rs`), and every commit asks for the
//! lease's token, so a worker that has lost its lease can't write. Whatever is done may be done
//! again. Orgs are worked on side by side: one that takes long keeps nobody waiting but the bound.

mod hold;
mod outcome;
mod record;

use std::{future::Future, sync::Arc, time::Duration as StdDuration};

use orgs::{Org, OrgProgress, OrgQueries as _, OrgStatus, OrgStore as _, OrgWork, Provisioner};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use self::{
    hold::Bell,
    outcome::{change_step, working_step},
};
pub(crate) use self::{
    hold::Hold,
    record::{Finished, Recorded},
};
use crate::{
    Service,
    workshop::{Handed, Place},
};

/// How long to sleep at the least: another worker may be just about to take what is due.
const BREATH: StdDuration = StdDuration::from_millis(10);
/// How long to sleep at the most: another process may have made an org due.
const NAP: StdDuration = StdDuration::from_secs(1);
/// How many orgs are taken in one transaction at the most.
const TAKEN_AT_ONCE: usize = 256;
/// How long what runs may go on when the process comes to its end, before it is told to stop.
const LAST_WORDS: StdDuration = StdDuration::from_secs(1);

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Works until `stop` turns true, and ends what it has begun.
    pub async fn reconcile(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (ending, ended) = watch::channel(false);
        let mut work = JoinSet::new();
        let mut handed_over = self.workshop.open(self.provisioner.at_once());
        // When to look for what is due.
        let mut look = Instant::now();
        while !*stop.borrow() {
            while let Some(ended) = work.try_join_next() {
                report(ended);
            }
            let room = self.workshop.free().min(TAKEN_AT_ONCE);
            if room > 0 && look <= Instant::now() {
                let pause = match self.begin_due(&mut work, room, &ended).await {
                    Ok(begun) if begun == room => StdDuration::ZERO,
                    Ok(_) => self.pause().await,
                    Err(error) => {
                        tracing::warn!(
                            error = error.as_dyn(),
                            "orgs that are due can't be worked on; trying again"
                        );
                        NAP
                    }
                };
                look = Instant::now() + pause;
            }
            tokio::select! {
                Some(handed) = handed_over.recv() => self.begin(&mut work, handed, &ended),
                () = self.due.notified() => look = Instant::now(),
                () = sleep_until(look), if self.workshop.free() > 0 => {}
                Some(ended) = work.join_next() => report(ended),
                _ = stop.changed() => {}
            }
        }
        self.workshop.close();
        while let Some(handed) = handed_over.recv().await {
            self.begin(&mut work, handed, &ended);
        }
        let finish = async {
            while let Some(ended) = work.join_next().await {
                report(ended);
            }
        };
        if timeout(LAST_WORDS, finish).await.is_err() {
            let _ = ending.send(true);
            while let Some(ended) = work.join_next().await {
                report(ended);
            }
        }
    }

    /// Until when nothing falls due, as far as this process can know.
    async fn pause(&self) -> StdDuration {
        let now = self.world.now();
        let next = self.db.read(move |view| view.next_org_due(now)).await;
        match next {
            Ok(Some(at)) => StdDuration::try_from(at - now)
                .unwrap_or_default()
                .clamp(BREATH, NAP),
            Ok(None) | Err(_) => NAP,
        }
    }

    /// Works on as many orgs as the provisioner takes at once, and tells how many there were.
    ///
    /// # Errors
    /// When storage can't say which are due, or can't take that they are worked on.
    pub async fn reconcile_due(self: &Arc<Self>) -> Result<usize, StoreError> {
        let (_never, ending) = watch::channel(false);
        let mut work = JoinSet::new();
        let room = self.provisioner.at_once();
        let count = self.begin_due(&mut work, room, &ending).await?;
        while let Some(ended) = work.join_next().await {
            report(ended);
        }
        Ok(count)
    }

    /// Begins to work on up to so many orgs that are due, and tells on how many.
    async fn begin_due(
        self: &Arc<Self>,
        work: &mut JoinSet<()>,
        room: usize,
        ending: &watch::Receiver<bool>,
    ) -> Result<usize, StoreError> {
        let places: Vec<Place> = (0..room).map(|_| self.workshop.take()).collect();
        let taken = self.take(room).await?;
        let count = taken.len();
        for ((org, hold), place) in taken.into_iter().zip(places) {
            let work_on = Arc::clone(self).work_on(org, hold, ending.clone());
            work.spawn(at(place, work_on));
        }
        Ok(count)
    }

    /// Begins to work on an org that was handed over.
    fn begin(
        self: &Arc<Self>,
        work: &mut JoinSet<()>,
        handed: Handed,
        ending: &watch::Receiver<bool>,
    ) {
        let Handed {
            work: OrgWork { org, .. },
            hold,
            place,
        } = handed;
        let work_on = Arc::clone(self).work_on(org, hold, ending.clone());
        work.spawn(at(place, work_on));
    }

    async fn take(&self, room: usize) -> Result<Vec<(Org, Hold)>, StoreError> {
        let hold = Hold::new(&self.world);
        let (now, lease) = (self.world.now(), hold.lease);
        let taken: Vec<Org> = self
            .db
            .write(move |tx| {
                let taken = tx.orgs_lease(now, lease, room, |one| begin_attempt(one, now))?;
                Ok::<_, StoreError>(taken.into_iter().map(|work| work.org).collect())
            })
            .await?;
        for org in &taken {
            self.statuses.changed(org.id);
        }
        Ok(taken.into_iter().map(|org| (org, hold)).collect())
    }

    async fn work_on(self: Arc<Self>, org: Org, hold: Hold, ending: watch::Receiver<bool>) {
        let bell = Bell::new();
        let work = async {
            match org.status {
                OrgStatus::Provisioning => self.provisioner.provision(&org, bell.rung()).await,
                OrgStatus::Deprovisioning => self.provisioner.deprovision(&org, bell.rung()).await,
                // Nothing else is ever due.
                OrgStatus::Ready
                | OrgStatus::Failed
                | OrgStatus::Suspended
                | OrgStatus::Deleted => Ok(()),
            }
        };
        let result = tokio::select! {
            result = work => result,
            never = self.keep(&org, hold, &bell, ending) => match never {},
        };
        self.record(&org, hold.lease.token, result).await;
    }
}

/// Notes that an attempt at an org begins. Should its worker vanish, it is due again behind the others.
fn begin_attempt(OrgProgress { work, due_at, .. }: &mut OrgProgress, now: OffsetDateTime) {
    if work.org.status.is_pending() {
        work.org.updated_at = now;
        let working = working_step(work.org.status);
        change_step(&mut work.steps, working, |step| step.begin(now));
        *due_at = Some(now);
    }
}

/// Works at a place, and leaves it.
async fn at(place: Place, work: impl Future<Output = ()>) {
    work.await;
    drop(place);
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("work on an org broke down; it is taken up again: {error}");
    }
}
