//! Writing down how the work on orgs went, that of many in one transaction.

use std::sync::Arc;

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, OrgId, WorkspaceId};
use orgs::{LeaseToken, Org, OrgProgress, OrgStatus, ProvisionError, Provisioner, StepStatus};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;
use webhooks::EventKind;

use super::outcome::{change_step, default_workspace, made, taken_away, working_step};
use crate::{Service, env::Percent, outbox::Outbox};

/// One attempt at an org that has come to its end.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    id: OrgId,
    token: LeaseToken,
    /// What it was when the attempt began.
    began: OrgStatus,
    result: Result<(), ProvisionError>,
    /// The ids of what may have to be written.
    event: EventId,
    workspace: WorkspaceId,
    spread: Percent,
    now: OffsetDateTime,
}

/// What was written down: the org as it is now, and when it is due again. Nothing, when the lease was
/// lost.
pub(crate) type Recorded = Option<(Org, Option<OffsetDateTime>)>;

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Writes down how the work on an org went.
    pub(super) async fn record(
        &self,
        org: &Org,
        token: LeaseToken,
        result: Result<(), ProvisionError>,
    ) {
        let id = org.id;
        let finished = Finished {
            id,
            token,
            began: org.status,
            result,
            event: self.env.id(),
            workspace: self.env.id(),
            spread: self.env.percent(),
            now: self.env.now(),
        };
        let (db, outbox) = (self.db.clone(), self.outbox.clone());
        let write = move |all| write_all(db.clone(), outbox.clone(), all);
        let written = self.finished.run(finished, self.db.together(), write).await;
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

/// Writes all of it in one transaction; what became of each.
async fn write_all<D: Database>(
    db: D,
    outbox: Outbox,
    all: Vec<Finished>,
) -> Vec<Result<Recorded, StoreError>> {
    let all: Arc<[Finished]> = all.into();
    let together = write(&db, &outbox, Arc::clone(&all)).await;
    match together {
        Ok(recorded) => recorded.into_iter().map(Ok).collect(),
        Err(error) if all.len() > 1 && !error.is_temporary() => {
            // One of them is to blame; the others have done nothing wrong.
            let mut each = Vec::with_capacity(all.len());
            for one in all.iter() {
                let alone = write(&db, &outbox, Arc::new([one.clone()])).await;
                each.push(alone.map(|mut recorded| recorded.pop().flatten()));
            }
            each
        }
        Err(error) => all.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn write<D: Database>(
    db: &D,
    outbox: &Outbox,
    all: Arc<[Finished]>,
) -> Result<Vec<Recorded>, StoreError> {
    let outbox = outbox.clone();
    db.write(move |tx| record_all(tx, &outbox, &all)).await
}

fn record_all<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    all: &[Finished],
) -> Result<Vec<Recorded>, StoreError> {
    let held: Vec<_> = all.iter().map(|one| (one.id, one.token)).collect();
    let mut recorded = Vec::with_capacity(all.len());
    let (mut progress, mut workspaces, mut told) = (Vec::new(), Vec::new(), Vec::new());
    let mut gone = Vec::new();
    for (work, one) in tx.orgs_leased(&held)?.into_iter().zip(all) {
        let Some(mut work) = work else {
            recorded.push(None);
            continue;
        };
        let Finished {
            began, result, now, ..
        } = one;
        let due;
        if work.org.status != *began {
            // Somebody asked for a deletion meanwhile: it is next, and at once.
            due = work.org.status.is_pending().then_some(*now);
            change_step(&mut work.steps, working_step(*began), |step| {
                if step.status == StepStatus::Running {
                    step.end(result.is_ok(), *now);
                }
            });
        } else if *result == Err(ProvisionError::Interrupted) {
            due = work.org.status.is_pending().then_some(*now);
        } else {
            if work.org.status.is_pending() {
                work.org.attempts = work.org.attempts.saturating_add(1);
            }
            let chance = (*now, one.spread);
            due = match work.org.status {
                OrgStatus::Provisioning => made(&mut work, result, chance)?,
                OrgStatus::Deprovisioning => taken_away(&mut work, result, chance)?,
                OrgStatus::Ready
                | OrgStatus::Failed
                | OrgStatus::Suspended
                | OrgStatus::Deleted => None,
            };
            let org = &work.org;
            if org.status == OrgStatus::Ready && *began == OrgStatus::Provisioning {
                // There may be one already, of an attempt that was retried by an admin.
                workspaces.push(default_workspace(org.id, one.workspace, *now)?);
            }
            if org.status == OrgStatus::Deleted && *began == OrgStatus::Deprovisioning {
                gone.push((org.slug.clone(), org.id, *now));
            }
            if let Some(event) = event_of(org, *began, one.event, *now) {
                tx.event_insert(&event)?;
            }
            if let Some(kind) = told_as(org.status) {
                told.push((kind, org.clone(), *now));
            }
        }
        recorded.push(Some((work.org.clone(), due)));
        progress.push(OrgProgress {
            due_at: due,
            release: true,
            cancel: work.org.status == OrgStatus::Deleted,
            work,
        });
    }
    // In one order, so that nobody waits in a circle.
    gone.sort_unstable();
    for (_, org, now) in gone {
        tx.slug_free(org, now)?;
        tx.workspaces_delete(org)?;
    }
    tx.workspaces_insert(&workspaces)?;
    outbox.orgs(tx, &told)?;
    tx.orgs_progress(&progress)?;
    Ok(recorded)
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
