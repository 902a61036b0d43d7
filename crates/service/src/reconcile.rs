//! The reconciler: takes orgs that are due, has them made or taken away, and writes down how it went.
//!
//! Every org is held under a lease while it is worked on (`hold.rs`), and every commit asks for the
//! lease's token, so a worker that has lost its lease can't write. Whatever is done may be done
//! again. Orgs are worked on side by side: one that takes long keeps nobody waiting but the bound.

mod hold;
mod outcome;

use std::{sync::Arc, time::Duration as StdDuration};

use audit::{Action, Actor, AuditStore as _, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, TypedId as _, WorkspaceId};
use orgs::{
    Lease, LeaseToken, Org, OrgQueries as _, OrgStatus, OrgStore as _, ProvisionError, Provisioner,
    StepStatus,
};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use webhooks::EventKind;

use self::{
    hold::{Bell, Hold, LEASE},
    outcome::{change_step, made, taken_away, working_step},
};
use crate::Service;

/// How long to sleep at the least: another worker may be just about to take what is due.
const BREATH: StdDuration = StdDuration::from_millis(10);
/// How long to sleep at the most: another process may have made an org due.
const NAP: StdDuration = StdDuration::from_secs(1);
/// How long what runs may go on when the process comes to its end, before it is told to stop.
const LAST_WORDS: StdDuration = StdDuration::from_secs(1);

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Works until `stop` turns true, and ends what it has begun.
    pub async fn reconcile(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (ending, ended) = watch::channel(false);
        let mut work = JoinSet::new();
        while !*stop.borrow() {
            while let Some(ended) = work.try_join_next() {
                report(ended);
            }
            let room = self.provisioner.at_once().saturating_sub(work.len());
            let pause = match self.begin_due(&mut work, room, &ended).await {
                Ok(begun) if begun == room && room > 0 => StdDuration::ZERO,
                Ok(_) if room > 0 => self.pause().await,
                Ok(_) => NAP,
                Err(error) => {
                    tracing::warn!(
                        error = error.as_dyn(),
                        "orgs that are due can't be worked on; trying again"
                    );
                    NAP
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    () = self.due.notified(), if room > 0 => {}
                    () = tokio::time::sleep(pause) => {}
                    Some(ended) = work.join_next(), if room == 0 => report(ended),
                    _ = stop.changed() => {}
                }
            }
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
        if room == 0 {
            return Ok(0);
        }
        let taken = self.take(room).await?;
        let count = taken.len();
        for (org, hold) in taken {
            work.spawn(Arc::clone(self).work_on(org, hold, ending.clone()));
        }
        Ok(count)
    }

    async fn take(&self, room: usize) -> Result<Vec<(Org, Hold)>, StoreError> {
        let token = LeaseToken(self.world.id::<EventId>().ulid());
        let (now, since) = (self.world.now(), Instant::now());
        let taken: Vec<Org> = self
            .db
            .write(move |tx| {
                let lease = Lease {
                    token,
                    until: now + LEASE,
                };
                let mut taken = tx.orgs_lease(now, lease, room)?;
                for org in taken.iter_mut().filter(|org| org.status.is_pending()) {
                    org.updated_at = now;
                    change_step(tx, org, working_step(org.status), |step| step.begin(now))?;
                    tx.org_update(org, Some(now))?;
                }
                Ok::<_, StoreError>(taken)
            })
            .await?;
        for org in &taken {
            self.statuses.changed(org.id);
        }
        let hold = Hold { token, since };
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
        self.record(&org, hold.token, result).await;
    }

    /// Writes down how the work on an org went.
    async fn record(&self, org: &Org, token: LeaseToken, result: Result<(), ProvisionError>) {
        let (event, workspace): (EventId, WorkspaceId) = (self.world.id(), self.world.id());
        let (id, began) = (org.id, org.status);
        let (spread, now) = (self.world.percent(), self.world.now());
        let outbox = self.outbox.clone();
        let written = self.db.write(move |tx| {
            let Some(mut org) = tx.org_leased(id, token)? else {
                return Ok(None);
            };
            let due;
            if org.status != began {
                // Somebody asked for a deletion meanwhile: it is next, and at once.
                due = org.status.is_pending().then_some(now);
                change_step(tx, &org, working_step(began), |step| {
                    if step.status == StepStatus::Running {
                        step.end(result.is_ok(), now);
                    }
                })?;
            } else if result == Err(ProvisionError::Interrupted) {
                due = org.status.is_pending().then_some(now);
            } else {
                if org.status.is_pending() {
                    org.attempts = org.attempts.saturating_add(1);
                }
                due = match org.status {
                    OrgStatus::Provisioning => {
                        made(tx, &mut org, &result, workspace, (now, spread))?
                    }
                    OrgStatus::Deprovisioning => taken_away(tx, &mut org, &result, (now, spread))?,
                    OrgStatus::Ready
                    | OrgStatus::Failed
                    | OrgStatus::Suspended
                    | OrgStatus::Deleted => None,
                };
                if let Some(event) = event_of(&org, began, event, now) {
                    tx.event_insert(&event)?;
                }
                if let Some(kind) = told_as(org.status) {
                    outbox.org(tx, kind, &org, now)?;
                }
            }
            tx.org_update(&org, due)?;
            tx.lease_release(id, token)?;
            Ok::<_, StoreError>(Some((org, due)))
        });
        let written = written.await;
        self.statuses.changed(id);
        self.outgoing.notify_one();
        match written {
            Ok(Some((org, due))) => {
                tracing::info!(org_id = %id, status = org.status.as_str(), attempts = org.attempts, "org worked on");
                if due.is_some() {
                    self.due.notify_one();
                }
            }
            Ok(None) => tracing::warn!(org_id = %id, "the lease was lost; another worker goes on"),
            Err(error) => {
                tracing::error!(
                    error = error.as_dyn(),
                    org_id = %id,
                    "an org's progress was not recorded; it is tried again when its lease ends"
                );
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("work on an org broke down; it is taken up again: {error}");
    }
}

/// What partners are told of an org that has come to rest.
const fn told_as(status: OrgStatus) -> Option<EventKind> {
    match status {
        OrgStatus::Ready => Some(EventKind::OrgReady),
        OrgStatus::Failed => Some(EventKind::OrgFailed),
        OrgStatus::Deleted => Some(EventKind::OrgDeleted),
        OrgStatus::Provisioning | OrgStatus::Deprovisioning | OrgStatus::Suspended => None,
    }
}

/// The event of an org that has come to rest.
fn event_of(org: &Org, before: OrgStatus, id: EventId, now: OffsetDateTime) -> Option<Event> {
    let (action, outcome) = match org.status {
        OrgStatus::Ready => (Action::OrgProvisioned, Outcome::Success),
        OrgStatus::Failed => (Action::OrgFailed, Outcome::Failed),
        OrgStatus::Deleted => (Action::OrgDeleted, Outcome::Success),
        OrgStatus::Provisioning | OrgStatus::Deprovisioning | OrgStatus::Suspended => return None,
    };
    let mut details = Details::new();
    details.insert("slug".to_owned(), org.slug.as_str().into());
    details.insert("attempts".to_owned(), org.attempts.into());
    details.insert("from".to_owned(), before.as_str().into());
    if let Some(failure) = &org.failure {
        details.insert("failure".to_owned(), failure.message.as_str().into());
    }
    Some(Event {
        id,
        occurred_at: now,
        actor: Actor::System {
            partner_id: Some(org.partner_id),
        },
        action,
        target: Target::one(TargetKind::Org, org.id),
        org_id: Some(org.id),
        outcome,
        request: None,
        details,
    })
}
