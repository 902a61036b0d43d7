//! What an attempt at an org has led to, written down: its status, its steps, and when it is due again.

use ids::{Name, WorkspaceId};
use orgs::{
    DEFAULT_WORKSPACE, Failure, Move, Org, OrgStatus, ProvisionError, Slug, Step, StepName,
    SubscriptionStatus, Workspace,
};
use stores::{StoreError, Transaction};
use time::{Duration, OffsetDateTime};

use crate::world::Percent;

/// After how many attempts an org that can't be made is given up.
const MAX_ATTEMPTS: u32 = 12;
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::seconds(10);

/// The step in which the provisioner works on an org of this status.
pub(super) const fn working_step(status: OrgStatus) -> StepName {
    match status {
        OrgStatus::Deprovisioning | OrgStatus::Deleted => StepName::Deprovision,
        OrgStatus::Provisioning | OrgStatus::Ready | OrgStatus::Failed | OrgStatus::Suspended => {
            StepName::Provision
        }
    }
}

/// Changes one step of an org, if it has it.
pub(super) fn change_step<T: Transaction>(
    tx: &mut T,
    org: &Org,
    name: StepName,
    change: impl FnOnce(&mut Step),
) -> Result<(), StoreError> {
    let mut steps = tx.org_steps(org.id)?;
    if let Some(step) = steps.iter_mut().find(|step| step.name == name) {
        change(step);
    }
    tx.steps_replace(org.id, &steps)
}

/// Writes down how making an org went, and tells when it is due again.
pub(super) fn made<T: Transaction>(
    tx: &mut T,
    org: &mut Org,
    result: &Result<(), ProvisionError>,
    workspace: WorkspaceId,
    (now, spread): (OffsetDateTime, Percent),
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
            Ok(Some(put_off(org, failure, (now, spread))))
        }
        Err(ProvisionError::TryAgain(failure)) => {
            org.failure = Some(given_up(failure, org.attempts));
            moved(org, Move::GiveUp)?;
            Ok(None)
        }
        Err(ProvisionError::Failed(failure)) => {
            org.failure = Some(failure.clone());
            moved(org, Move::GiveUp)?;
            Ok(None)
        }
        Err(ProvisionError::Interrupted) => Ok(Some(now)),
    }
}

/// Writes down how taking an org away went; it is tried without end.
pub(super) fn taken_away<T: Transaction>(
    tx: &mut T,
    org: &mut Org,
    result: &Result<(), ProvisionError>,
    (now, spread): (OffsetDateTime, Percent),
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
            Ok(Some(put_off(org, failure, (now, spread))))
        }
        Err(ProvisionError::Interrupted) => Ok(Some(now)),
    }
}

/// The failure of an org that can't be made, in words that a partner can act on.
fn given_up(last: &Failure, attempts: u32) -> Failure {
    Failure {
        code: last.code.clone(),
        message: format!(
            "given up after {attempts} attempts, the last with: {}; delete the org, or ask the operator \
             to have it tried again",
            last.message
        ),
    }
}

/// Notes a failure that may pass, and tells when to try again: after 1 s, 2 s, 4 s, 8 s, then every 10,
/// and up to a quarter sooner, so that what failed together does not come back together.
fn put_off(
    org: &mut Org,
    failure: &Failure,
    (now, spread): (OffsetDateTime, Percent),
) -> OffsetDateTime {
    org.failure = Some(failure.clone());
    org.updated_at = now;
    let doublings = org.attempts.saturating_sub(1).min(4);
    let pause = (Duration::SECOND * 2_i32.pow(doublings)).min(MAX_PAUSE);
    now + pause - spread.of(pause / 4)
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
