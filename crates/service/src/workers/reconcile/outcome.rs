//! The outcome of an attempt at an org: its status, its steps, and when it is due again.

use ids::{Name, OrgId, WorkspaceId};
use orgs::{
    DEFAULT_WORKSPACE, Failure, Org, OrgWork, ProvisionError, Slug, Step, StepName, Transition,
    Verb, Workspace,
};
use stores::StoreError;
use time::{Duration, OffsetDateTime};

use crate::env::Percent;

/// After how many attempts an org that can't be provisioned has failed.
const MAX_ATTEMPTS: u32 = 12;
/// The longest delay of a retry.
const MAX_RETRY_DELAY: Duration = Duration::seconds(10);

/// Changes one step of an org, if it has it.
pub(super) fn change_step(steps: &mut [Step], name: StepName, change: impl FnOnce(&mut Step)) {
    if let Some(step) = steps.iter_mut().find(|step| step.name == name) {
        change(step);
    }
}

/// Applies the outcome of provisioning; when the org is due again. One that is ready needs its default
/// workspace.
pub(super) fn after_provision(
    OrgWork { org, steps }: &mut OrgWork,
    result: &Result<(), ProvisionError>,
    (now, spread): (OffsetDateTime, Percent),
) -> Result<Option<OffsetDateTime>, StoreError> {
    change_step(steps, StepName::Provision, |step| {
        step.end(result.is_ok(), now)
    });
    match result {
        Ok(()) => {
            change_step(steps, StepName::Workspace, |step| {
                step.begin(now);
                step.end(true, now);
            });
            moved(org, Transition::Provisioned, now)?;
            Ok(None)
        }
        Err(ProvisionError::TryAgain(failure)) if org.attempts < MAX_ATTEMPTS => {
            Ok(Some(retry_at(org, failure, (now, spread))))
        }
        Err(ProvisionError::TryAgain(failure)) => {
            org.failure = Some(Failure {
                code: failure.code.clone(),
                message: format!(
                    "{}; delete the org, or ask the operator to retry it",
                    last_of(failure, org.attempts)
                ),
            });
            moved(org, Transition::GiveUp, now)?;
            Ok(None)
        }
        Err(ProvisionError::Failed(failure)) => {
            org.failure = Some(failure.clone());
            moved(org, Transition::GiveUp, now)?;
            Ok(None)
        }
        Err(ProvisionError::Interrupted) => Ok(Some(now)),
    }
}

/// Applies the outcome of a change; when the org is due again. An org whose change is given up stays ready as
/// it was, and its failure says why.
pub(super) fn after_change(
    OrgWork { org, steps }: &mut OrgWork,
    verb: Verb,
    result: &Result<(), ProvisionError>,
    (now, spread): (OffsetDateTime, Percent),
) -> Result<Option<OffsetDateTime>, StoreError> {
    change_step(steps, verb.step(), |step| step.end(result.is_ok(), now));
    let message = match result {
        Ok(()) => {
            moved(org, Transition::Changed, now)?;
            return Ok(None);
        }
        Err(ProvisionError::TryAgain(failure)) if org.attempts < MAX_ATTEMPTS => {
            return Ok(Some(retry_at(org, failure, (now, spread))));
        }
        Err(ProvisionError::Interrupted) => return Ok(Some(now)),
        Err(ProvisionError::TryAgain(failure)) => {
            format!(
                "{}; the org is as it was, try again later",
                last_of(failure, org.attempts)
            )
        }
        Err(ProvisionError::Failed(failure)) => failure.message.clone(),
    };
    org.failure = Some(Failure {
        code: if verb == Verb::Rotate {
            "rotation-failed"
        } else {
            "update-failed"
        }
        .to_owned(),
        message,
    });
    moved(org, Transition::KeepUnchanged, now)?;
    Ok(None)
}

/// Applies the outcome of deprovisioning, which is retried without end; when the org is due again.
pub(super) fn after_deprovision(
    OrgWork { org, steps }: &mut OrgWork,
    result: &Result<(), ProvisionError>,
    (now, spread): (OffsetDateTime, Percent),
) -> Result<Option<OffsetDateTime>, StoreError> {
    change_step(steps, StepName::Deprovision, |step| {
        step.end(result.is_ok(), now)
    });
    match result {
        Ok(()) => {
            moved(org, Transition::Deprovisioned, now)?;
            Ok(None)
        }
        Err(ProvisionError::TryAgain(failure) | ProvisionError::Failed(failure)) => {
            Ok(Some(retry_at(org, failure, (now, spread))))
        }
        Err(ProvisionError::Interrupted) => Ok(Some(now)),
    }
}

fn moved(org: &mut Org, step: Transition, now: OffsetDateTime) -> Result<(), StoreError> {
    org.apply(step, now)
        .map_err(|_| StoreError::Corrupt { what: "the status" })
}

/// What is said of the last of several attempts.
fn last_of(failure: &Failure, attempts: u32) -> String {
    format!(
        "failed after {attempts} attempts, the last with: {}",
        failure.message
    )
}

/// Records a temporary failure; when to retry: after 1 s, 2 s, 4 s, 8 s, then every 10 s, up to a quarter
/// sooner, so that orgs that failed together are not retried together.
fn retry_at(
    org: &mut Org,
    failure: &Failure,
    (now, spread): (OffsetDateTime, Percent),
) -> OffsetDateTime {
    org.failure = Some(failure.clone());
    org.updated_at = now;
    let doublings = org.attempts.saturating_sub(1).min(4);
    let pause = (Duration::SECOND * 2_i32.pow(doublings)).min(MAX_RETRY_DELAY);
    now + pause - spread.of(pause / 4)
}

/// The workspace that every ready org has.
pub(super) fn default_workspace(
    org: OrgId,
    id: WorkspaceId,
    now: OffsetDateTime,
) -> Result<Workspace, StoreError> {
    let invalid = StoreError::Corrupt {
        what: "the default workspace",
    };
    Ok(Workspace {
        id,
        org_id: org,
        name: Name::new(DEFAULT_WORKSPACE).map_err(|_| invalid.clone())?,
        slug: Slug::new(DEFAULT_WORKSPACE).map_err(|_| invalid)?,
        created_at: now,
    })
}
