//! The reconciler: takes orgs that are due, has them made or taken away, and writes down how it went.
//!
//! Every org is held under a lease while it is worked on, and every commit asks for the lease's token,
//! so a worker that has lost its lease can't write. Whatever is done may be done again.

use std::{sync::Arc, time::Duration as StdDuration};

use audit::{Action, Actor, AuditStore as _, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, Name, TypedId as _, WorkspaceId};
use orgs::{
    DEFAULT_WORKSPACE, Failure, Lease, LeaseToken, Move, Org, OrgQueries as _, OrgStatus,
    OrgStore as _, ProvisionError, Provisioner, Slug, StepName, SubscriptionStatus, Workspace,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::{Duration, OffsetDateTime};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use webhooks::EventKind;

use crate::Service;

/// How long an org is held without a sign of life.
const LEASE: Duration = Duration::seconds(10);
/// How often a hold is prolonged.
const RENEWAL: StdDuration = StdDuration::from_secs(3);
/// How many orgs are worked on at once.
const BATCH: usize = 64;
/// How long to sleep at the least: another worker may be just about to take what is due.
const BREATH: StdDuration = StdDuration::from_millis(10);
/// How long to sleep at the most: another process may have made an org due.
const NAP: StdDuration = StdDuration::from_secs(1);
/// After how many attempts an org that can't be made is given up.
const MAX_ATTEMPTS: u32 = 12;
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::seconds(10);

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Works until `stop` turns true, and ends what it has begun.
    pub async fn reconcile(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.reconcile_due().await {
                Ok(0) => self.pause().await,
                Ok(_) => StdDuration::ZERO,
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
                    () = self.due.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                    _ = stop.changed() => {}
                }
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

    /// Works on up to a batch of orgs that are due, and tells how many there were.
    ///
    /// # Errors
    /// When storage can't say which are due, or can't take that they are worked on.
    pub async fn reconcile_due(self: &Arc<Self>) -> Result<usize, StoreError> {
        let token = LeaseToken(self.world.id::<EventId>().ulid());
        let taken = self.take(token).await?;
        let count = taken.len();
        let mut work = JoinSet::new();
        for org in taken {
            let service = Arc::clone(self);
            work.spawn(async move { service.work_on(org, token).await });
        }
        while !work.is_empty() {
            match timeout(RENEWAL, work.join_next()).await {
                Ok(_) => {}
                Err(_elapsed) => self.renew(token).await,
            }
        }
        Ok(count)
    }

    async fn take(&self, token: LeaseToken) -> Result<Vec<Org>, StoreError> {
        let now = self.world.now();
        let taken: Vec<Org> = self
            .db
            .write(move |tx| {
                let lease = Lease {
                    token,
                    until: now + LEASE,
                };
                let mut taken = tx.orgs_lease(now, lease, BATCH)?;
                for org in taken.iter_mut().filter(|org| org.status.is_pending()) {
                    org.attempts = org.attempts.saturating_add(1);
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
        Ok(taken)
    }

    async fn renew(&self, token: LeaseToken) {
        let until = self.world.now() + LEASE;
        let renewed: Result<(), StoreError> = self
            .db
            .write(move |tx| tx.lease_renew(Lease { token, until }))
            .await;
        if let Err(error) = renewed {
            tracing::warn!(error = error.as_dyn(), "a lease was not prolonged");
        }
    }

    async fn work_on(self: Arc<Self>, org: Org, token: LeaseToken) {
        let result = match org.status {
            OrgStatus::Provisioning => self.provisioner.provision(&org).await,
            OrgStatus::Deprovisioning => self.provisioner.deprovision(&org).await,
            // Nothing else is ever due.
            OrgStatus::Ready | OrgStatus::Failed | OrgStatus::Suspended | OrgStatus::Deleted => {
                Ok(())
            }
        };
        let (event, workspace): (EventId, WorkspaceId) = (self.world.id(), self.world.id());
        let (id, began) = (org.id, org.status);
        let (now, outbox) = (self.world.now(), self.outbox.clone());
        let written = self.db.write(move |tx| {
            let Some(mut org) = tx.org_leased(id, token)? else {
                return Ok(None);
            };
            let mut due = None;
            if org.status == began {
                due = match org.status {
                    OrgStatus::Provisioning => made(tx, &mut org, &result, workspace, now)?,
                    OrgStatus::Deprovisioning => taken_away(tx, &mut org, &result, now)?,
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
            } else if org.status.is_pending() {
                // Somebody asked for a deletion meanwhile: it is next, and at once.
                due = Some(now);
            }
            tx.org_update(&org, due)?;
            tx.lease_release(id, token)?;
            Ok::<_, StoreError>(Some(org))
        });
        let written = written.await;
        self.statuses.changed(id);
        self.outgoing.notify_one();
        match written {
            Ok(Some(org)) => {
                tracing::info!(org_id = %id, status = org.status.as_str(), attempts = org.attempts, "org worked on");
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

const fn working_step(status: OrgStatus) -> StepName {
    match status {
        OrgStatus::Deprovisioning | OrgStatus::Deleted => StepName::Deprovision,
        OrgStatus::Provisioning | OrgStatus::Ready | OrgStatus::Failed | OrgStatus::Suspended => {
            StepName::Provision
        }
    }
}

fn change_step<T: Transaction>(
    tx: &mut T,
    org: &Org,
    name: StepName,
    change: impl FnOnce(&mut orgs::Step),
) -> Result<(), StoreError> {
    let mut steps = tx.org_steps(org.id)?;
    if let Some(step) = steps.iter_mut().find(|step| step.name == name) {
        change(step);
    }
    tx.steps_replace(org.id, &steps)
}

/// Writes down how making an org went, and tells when it is due again.
fn made<T: Transaction>(
    tx: &mut T,
    org: &mut Org,
    result: &Result<(), ProvisionError>,
    workspace: WorkspaceId,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, StoreError> {
    let moved = |org: &mut Org, step| {
        org.apply(step, now)
            .map_err(|_| StoreError::Corrupt { what: "the status" })
    };
    change_step(tx, org, StepName::Provision, |step| {
        step.end(result.is_ok(), now)
    })?;
    match result {
        Ok(()) => {
            add_default_workspace(tx, org, workspace, now)?;
            change_step(tx, org, StepName::Workspace, |step| {
                step.begin(now);
                step.end(true, now);
            })?;
            moved(org, Move::Provisioned)?;
            Ok(None)
        }
        Err(ProvisionError::TryAgain(failure)) if org.attempts < MAX_ATTEMPTS => {
            Ok(Some(put_off(org, failure, now)))
        }
        Err(ProvisionError::TryAgain(failure) | ProvisionError::Failed(failure)) => {
            org.failure = Some(failure.clone());
            moved(org, Move::GiveUp)?;
            Ok(None)
        }
    }
}

/// Writes down how taking an org away went; it is tried without end.
fn taken_away<T: Transaction>(
    tx: &mut T,
    org: &mut Org,
    result: &Result<(), ProvisionError>,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, StoreError> {
    change_step(tx, org, StepName::Deprovision, |step| {
        step.end(result.is_ok(), now)
    })?;
    match result {
        Ok(()) => {
            org.apply(Move::Deprovisioned, now)
                .map_err(|_| StoreError::Corrupt { what: "the status" })?;
            tx.slug_free(org.id, now)?;
            tx.workspaces_delete(org.id)?;
            if let Some(mut subscription) = tx.subscription(org.id)? {
                subscription.status = SubscriptionStatus::Canceled;
                tx.subscription_put(org.id, &subscription)?;
            }
            Ok(None)
        }
        Err(ProvisionError::TryAgain(failure) | ProvisionError::Failed(failure)) => {
            Ok(Some(put_off(org, failure, now)))
        }
    }
}

/// Notes a failure that may pass, and tells when to try again: after 1 s, 2 s, 4 s, 8 s, then every 10.
fn put_off(org: &mut Org, failure: &Failure, now: OffsetDateTime) -> OffsetDateTime {
    org.failure = Some(failure.clone());
    org.updated_at = now;
    let doublings = org.attempts.saturating_sub(1).min(4);
    now + (Duration::SECOND * 2_i32.pow(doublings)).min(MAX_PAUSE)
}

fn add_default_workspace<T: Transaction>(
    tx: &mut T,
    org: &Org,
    id: WorkspaceId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let invalid = StoreError::Corrupt {
        what: "the default workspace",
    };
    let workspace = Workspace {
        id,
        org_id: org.id,
        name: Name::new(DEFAULT_WORKSPACE).map_err(|_| invalid.clone())?,
        slug: Slug::new(DEFAULT_WORKSPACE).map_err(|_| invalid)?,
        created_at: now,
    };
    // There may be one already, of an attempt that was retried by an admin.
    tx.workspace_insert(&workspace).map(|_| ())
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
