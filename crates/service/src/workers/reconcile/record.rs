//! Recording how attempts at orgs ended, many in one transaction.

use std::sync::Arc;

use audit::{Action, Actor, Details, Event, Outcome, Target, TargetKind};
use ids::{EventId, OrgId, WorkspaceId};
use orgs::{
    LeaseToken, Org, OrgProgress, OrgStatus, ProvisionError, ProvisionOutput, Provisioner,
    StepStatus, Verb,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;
use webhooks::EventKind;

use super::{
    handed_back::{HandedBack, NewSecrets},
    outcome::{after_change, after_deprovision, after_provision, change_step, default_workspace},
};
use crate::{Service, env::Percent, runtime::batcher::all_or_each, webhooks::outbox::Outbox};

/// An attempt at an org that has ended.
#[derive(Clone, Debug)]
pub(crate) struct FinishedAttempt {
    id: OrgId,
    token: LeaseToken,
    /// The org's status when the attempt began.
    before: OrgStatus,
    /// What was attempted.
    verb: Option<Verb>,
    result: Result<(), ProvisionError>,
    /// What it has handed back.
    handed_back: HandedBack,
    /// The ids of what may have to be written.
    event: EventId,
    workspace: WorkspaceId,
    spread: Percent,
    now: OffsetDateTime,
}

/// The org as it is now, and when it is due again.
#[derive(Debug)]
pub(crate) struct Recorded {
    org: Org,
    due_at: Option<OffsetDateTime>,
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    pub(super) async fn record(
        &self,
        org: &Org,
        token: LeaseToken,
        result: Result<ProvisionOutput, ProvisionError>,
    ) {
        let (id, now) = (org.id, self.env.now());
        let mut handed_back = HandedBack::default();
        let result = result.map(|output| {
            let sealing = (&self.env, &self.settings.peppers);
            handed_back = HandedBack::new(sealing, org, output, now);
        });
        let attempt = FinishedAttempt {
            id,
            token,
            before: org.status,
            verb: org.verb(),
            result,
            handed_back,
            event: self.env.id(),
            workspace: self.env.id(),
            spread: self.env.percent(),
            now,
        };
        let (db, outbox) = (self.db.clone(), self.outbox.clone());
        let write = move |attempts| write_all(db.clone(), outbox.clone(), attempts);
        let batch = self.db.max_batch();
        let recorded = self.finished.run((), attempt, batch, write).await;
        self.statuses.invalidate(id);
        self.outgoing.notify_one();
        match recorded {
            Ok(Some(Recorded { org, due_at })) => {
                tracing::info!(
                    org_id = %id,
                    status = org.status.as_str(),
                    attempts = org.attempts,
                    "attempt at org finished"
                );
                if due_at.is_some() {
                    self.due.notify_one();
                }
            }
            Ok(None) => tracing::warn!(org_id = %id, "lease lost; another worker goes on"),
            Err(error) => {
                tracing::error!(
                    error = error.as_dyn(),
                    org_id = %id,
                    "recording an attempt at an org failed; it is retried when its lease ends"
                );
            }
        }
    }
}

async fn write_all<D: Database>(
    db: D,
    outbox: Outbox,
    attempts: Vec<FinishedAttempt>,
) -> Vec<Result<Option<Recorded>, StoreError>> {
    let transaction = |attempts: Arc<[FinishedAttempt]>| {
        let outbox = outbox.clone();
        db.write(move |tx| record_all(tx, &outbox, &attempts))
    };
    all_or_each(attempts.into(), transaction).await
}

/// Records attempts; what became of each, `None` where the lease was lost.
fn record_all<T: Transaction>(
    tx: &mut T,
    outbox: &Outbox,
    attempts: &[FinishedAttempt],
) -> Result<Vec<Option<Recorded>>, StoreError> {
    let leases: Vec<_> = attempts.iter().map(|one| (one.id, one.token)).collect();
    let mut recorded = Vec::with_capacity(attempts.len());
    let (mut progress, mut workspaces, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    let (mut deleted, mut secrets) = (Vec::new(), Vec::new());
    for (work, one) in tx.orgs_leased(&leases)?.into_iter().zip(attempts) {
        let Some(mut work) = work else {
            recorded.push(None);
            continue;
        };
        let FinishedAttempt {
            before,
            verb,
            result,
            now,
            ..
        } = one;
        let due_at;
        if work.org.status != *before {
            // A deletion was asked for meanwhile: it is next, and at once.
            due_at = work.org.status.is_pending().then_some(*now);
            if let Some(verb) = verb {
                change_step(&mut work.steps, verb.step(), |step| {
                    if step.status == StepStatus::Running {
                        step.end(result.is_ok(), *now);
                    }
                });
            }
        } else if *result == Err(ProvisionError::Interrupted) {
            due_at = work.org.status.is_pending().then_some(*now);
        } else {
            if work.org.status.is_pending() {
                work.org.attempts = work.org.attempts.saturating_add(1);
            }
            let retry = (*now, one.spread);
            due_at = match verb {
                Some(Verb::Provision) => after_provision(&mut work, result, retry)?,
                Some(Verb::Deprovision) => after_deprovision(&mut work, result, retry)?,
                Some(verb @ (Verb::Update | Verb::Rotate)) => {
                    after_change(&mut work, *verb, result, retry)?
                }
                None => None,
            };
            if result.is_ok() && *verb == Some(Verb::Deprovision) {
                if !std::mem::take(&mut work.org.secret_names).is_empty() {
                    secrets.push((work.org.id, None));
                }
            } else if let Some(new) = one.handed_back.apply(&mut work.org) {
                secrets.push((work.org.id, Some(new)));
            }
            let org = &work.org;
            if org.status == OrgStatus::Ready && *before == OrgStatus::Provisioning {
                // There may be one already, of an attempt that an admin has retried.
                workspaces.push(default_workspace(org.id, one.workspace, *now)?);
            }
            if org.status == OrgStatus::Deleted && *before == OrgStatus::Deprovisioning {
                deleted.push((org.slug.clone(), org.id, *now));
            }
            if let Some(action) = audit_action(org.status, *verb) {
                tx.event_record(&audit_event(org, action, one))?;
            }
            // Secrets that stay as they are are no news.
            let is_news = *verb != Some(Verb::Rotate) || result.is_ok();
            if let Some(kind) = webhook_kind(org.status, *verb).filter(|_| is_news) {
                messages.push((kind, org.clone(), *now));
            }
        }
        recorded.push(Some(Recorded {
            org: work.org.clone(),
            due_at,
        }));
        progress.push(OrgProgress {
            due_at,
            release: true,
            cancel: work.org.status == OrgStatus::Deleted,
            work,
        });
    }
    store_secrets(tx, secrets)?;
    // Always in the order of slugs, so that no two transactions deadlock.
    deleted.sort_unstable();
    for (_, org, now) in deleted {
        tx.slug_release(org, now)?;
        tx.workspaces_delete(org)?;
    }
    tx.workspaces_insert(&workspaces)?;
    outbox.orgs(tx, &messages)?;
    tx.orgs_progress(&progress)?;
    Ok(recorded)
}

/// Stores the new secrets of orgs, and erases those of deleted ones, for which there are none.
fn store_secrets<T: Transaction>(
    tx: &mut T,
    mut secrets: Vec<(OrgId, Option<&NewSecrets>)>,
) -> Result<(), StoreError> {
    // Always in the order of orgs, so that no two transactions deadlock.
    secrets.sort_unstable_by_key(|(org, _)| *org);
    for (org, new) in secrets {
        match new {
            Some(new) => new.store(tx)?,
            None => tx.org_secrets_erase(org)?,
        }
    }
    Ok(())
}

/// The webhook for an org whose work has ended.
const fn webhook_kind(status: OrgStatus, verb: Option<Verb>) -> Option<EventKind> {
    match (status, verb) {
        (OrgStatus::Ready, Some(Verb::Update)) => Some(EventKind::OrgUpdated),
        (OrgStatus::Ready, Some(Verb::Rotate)) => Some(EventKind::OrgSecretsRotated),
        (OrgStatus::Ready, _) => Some(EventKind::OrgReady),
        (OrgStatus::Failed, _) => Some(EventKind::OrgFailed),
        (OrgStatus::Deleted, _) => Some(EventKind::OrgDeleted),
        (
            OrgStatus::Provisioning
            | OrgStatus::Updating
            | OrgStatus::Deprovisioning
            | OrgStatus::Suspended,
            _,
        ) => None,
    }
}

/// What the audit log says of an org whose work has ended.
const fn audit_action(status: OrgStatus, verb: Option<Verb>) -> Option<Action> {
    match (status, verb) {
        (OrgStatus::Ready, Some(Verb::Update)) => Some(Action::OrgUpdated),
        (OrgStatus::Ready, Some(Verb::Rotate)) => Some(Action::OrgSecretsRotated),
        (OrgStatus::Ready, _) => Some(Action::OrgProvisioned),
        (OrgStatus::Failed, _) => Some(Action::OrgFailed),
        (OrgStatus::Deleted, _) => Some(Action::OrgDeleted),
        (
            OrgStatus::Provisioning
            | OrgStatus::Updating
            | OrgStatus::Deprovisioning
            | OrgStatus::Suspended,
            _,
        ) => None,
    }
}

fn audit_event(org: &Org, action: Action, attempt: &FinishedAttempt) -> Event {
    let mut details = Details::new();
    details.insert("slug".to_owned(), org.slug.as_str().into());
    details.insert("attempts".to_owned(), org.attempts.into());
    details.insert("from".to_owned(), attempt.before.as_str().into());
    if let Some(failure) = &org.failure {
        details.insert("failure".to_owned(), failure.message.as_str().into());
    }
    Event {
        id: attempt.event,
        occurred_at: attempt.now,
        actor: Actor::System {
            partner_id: Some(org.partner_id),
        },
        action,
        target: Target::one(TargetKind::Org, org.id),
        org_id: Some(org.id),
        outcome: if org.failure.is_some() {
            Outcome::Failed
        } else {
            Outcome::Success
        },
        request: None,
        details,
    }
}
