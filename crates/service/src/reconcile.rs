//! The reconciler: takes orgs that are due, has them made or taken away, and writes down how it went.
//!
//! Every org is held under a lease while it is worked on (`hold.rs`), and every commit asks for the
//! lease's token, so a worker that has lost its lease can't write. Whatever is done may be done
//! again. Orgs are worked on side by side: one that takes long keeps nobody waiting but the bound.

mod hold;
mod outcome;
mod record;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use ids::{OrgId, PartnerId};
use orgs::{
    DueLimits, DueOrgs, Org, OrgProgress, OrgQueries as _, OrgStatus, OrgStore as _, OrgWork,
    Provisioner,
};
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
    provisioning_slots::{Handed, Permit},
};

/// The shortest pause between two searches: another worker may be just about to take what is due.
const MIN_IDLE: StdDuration = StdDuration::from_millis(10);
/// The longest pause between two searches: another process may have made an org due.
const MAX_IDLE: StdDuration = StdDuration::from_secs(1);
/// How many orgs are taken in one transaction at the most.
const TAKEN_AT_ONCE: usize = 256;
/// How many partners one search sees.
const PARTNERS_AT_ONCE: usize = 64;
/// How long what runs may go on when the process comes to its end, before it is told to stop.
const LAST_WORDS: StdDuration = StdDuration::from_secs(1);

/// How many orgs a look has begun to work on, and whether there may be more that are due.
struct Begun {
    count: usize,
    more: bool,
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Works until `stop` turns true, and ends what it has begun.
    pub async fn reconcile(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (ending, ended) = watch::channel(false);
        let mut work = JoinSet::new();
        let mut handed_over = self.slots.open(self.provisioner.at_once());
        // When to look for what is due.
        let mut look = Instant::now();
        while !*stop.borrow() {
            while let Some(ended) = work.try_join_next() {
                report(ended);
            }
            let room = self.slots.free().min(TAKEN_AT_ONCE);
            if room > 0 && look <= Instant::now() {
                let pause = match self.begin_due(&mut work, room, &ended).await {
                    Ok(Begun { count, more }) if count > 0 && more => StdDuration::ZERO,
                    Ok(Begun { more: true, .. }) => MIN_IDLE,
                    Ok(Begun { more: false, .. }) => self.pause().await,
                    Err(error) => {
                        tracing::warn!(
                            error = error.as_dyn(),
                            "orgs that are due can't be worked on; trying again"
                        );
                        MAX_IDLE
                    }
                };
                look = Instant::now() + pause;
            }
            tokio::select! {
                Some(handed) = handed_over.recv() => self.begin(&mut work, handed, &ended),
                () = self.due.notified() => look = Instant::now(),
                () = sleep_until(look), if self.slots.free() > 0 => {}
                Some(ended) = work.join_next() => report(ended),
                _ = stop.changed() => {}
            }
        }
        self.slots.close();
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
        let now = self.env.now();
        let next = self.db.read(move |view| view.next_org_due(now)).await;
        match next {
            Ok(Some(at)) => StdDuration::try_from(at - now)
                .unwrap_or_default()
                .clamp(MIN_IDLE, MAX_IDLE),
            Ok(None) | Err(_) => MAX_IDLE,
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
        let Begun { count, .. } = self.begin_due(&mut work, room, &ending).await?;
        while let Some(ended) = work.join_next().await {
            report(ended);
        }
        Ok(count)
    }

    /// How many orgs that were due found no slot when this process looked last.
    pub fn orgs_without_slot(&self) -> usize {
        self.slots.waiting()
    }

    /// Begins to work on up to so many orgs that are due, and tells on how many.
    async fn begin_due(
        self: &Arc<Self>,
        work: &mut JoinSet<()>,
        room: usize,
        ending: &watch::Receiver<bool>,
    ) -> Result<Begun, StoreError> {
        let now = self.env.now();
        let after = *self.due_after();
        let limits = DueLimits {
            partners: PARTNERS_AT_ONCE,
            orgs: room,
        };
        let found = self.db.read(move |view| view.orgs_due(now, after, limits));
        let found: DueOrgs = found.await?;
        *self.due_after() = found.after;
        // What is left over waits for a slot, unless another worker was quicker.
        let more = found.more || found.after.is_some() || after.is_some();
        let chosen = self.slots.choose(found.orgs, room);
        let more = more || chosen.len() == room;
        let (wanted, permits): (Vec<OrgId>, HashMap<OrgId, Permit>) = chosen
            .into_iter()
            .map(|(org, permit)| (org.id, (org.id, permit)))
            .unzip();
        let mut permits = permits;
        let taken = self.take(wanted).await?;
        let count = taken.len();
        for (org, hold) in taken {
            let permit = permits.remove(&org.id);
            let work_on = Arc::clone(self).work_on(org, hold, ending.clone());
            work.spawn(within(permit, work_on));
        }
        Ok(Begun { count, more })
    }

    fn due_after(&self) -> MutexGuard<'_, Option<PartnerId>> {
        self.due_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
            permit,
        } = handed;
        let work_on = Arc::clone(self).work_on(org, hold, ending.clone());
        work.spawn(within(Some(permit), work_on));
    }

    async fn take(&self, wanted: Vec<OrgId>) -> Result<Vec<(Org, Hold)>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let hold = Hold::new(&self.env);
        let (now, lease) = (self.env.now(), hold.lease);
        let taken: Vec<Org> = self
            .db
            .write(move |tx| {
                let taken = tx.orgs_lease(&wanted, now, lease, |one| begin_attempt(one, now))?;
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

/// Works in a slot, and frees it.
async fn within(permit: Option<Permit>, work: impl Future<Output = ()>) {
    work.await;
    drop(permit);
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("work on an org broke down; it is taken up again: {error}");
    }
}
