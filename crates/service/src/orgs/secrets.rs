//! The secrets of orgs: sealed where they are stored, opened for whoever may read them.

use std::collections::HashMap;

use ids::OrgId;
use keys::Peppers;
use orgs::{ChangeKind, Org, OrgProgress, OrgSecrets, OrgWork, Step, StepName};
use ratelimit::Limiter;
use stores::{Database, SealedOrgSecrets, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

use super::visibility;
use crate::{
    Audited, Context, Env, Error, OrgConflict, Rejection, Rendered, Service, audited::Auditable,
    authorize::check_org_plan,
};

/// How many reads of secrets share one connection to the database at the most.
const MAX_BATCH: usize = 64;

/// The secrets of an org, in plain text.
#[derive(Debug)]
pub struct OpenedSecrets {
    /// The org.
    pub org: OrgId,
    /// Its secrets.
    pub secrets: OrgSecrets,
    /// When they were set; `None` when there are none.
    pub updated_at: Option<OffsetDateTime>,
}

/// What secrets are sealed together with, so that they can't be moved to another org's row.
pub(crate) fn bound(org: OrgId) -> String {
    format!("secrets of {org}")
}

/// Seals the secrets of an org under the current pepper.
pub(crate) fn seal(
    env: &Env,
    peppers: &Peppers,
    org: OrgId,
    secrets: &OrgSecrets,
    now: OffsetDateTime,
) -> SealedOrgSecrets {
    SealedOrgSecrets {
        org,
        sealed: env.seal(peppers, &secrets.to_bytes(), bound(org).as_bytes()),
        pepper: peppers.current_id(),
        updated_at: now,
    }
}

/// Opens the secrets of an org; `None` when the pepper under which they were sealed is gone.
pub(crate) fn open(peppers: &Peppers, secrets: &SealedOrgSecrets) -> Option<OrgSecrets> {
    let bytes = peppers.open(&secrets.sealed, bound(secrets.org).as_bytes())?;
    OrgSecrets::from_bytes(&bytes)
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reads the secrets of an org.
    ///
    /// # Errors
    /// When the caller can't see the org, or its secrets can't be opened any more.
    pub async fn org_secrets_read(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<OpenedSecrets>, Rejection> {
        let visibility = visibility(&context.caller);
        // Whose an org is never changes, so a cached status tells. Secrets are always read.
        self.status_within(context, visibility, id).await?;
        let db = self.db.clone();
        let read = move |orgs| read_all(db.clone(), orgs);
        let requester = context.caller.ulid();
        let stored = self.secret_reads.run(requester, id, MAX_BATCH, read).await;
        let stored = match stored {
            Ok(stored) => stored,
            Err(fault) => return Err(self.reject_fault(context, fault).await),
        };
        let (mut secrets, mut updated_at) = (OrgSecrets::default(), None);
        if let Some(sealed) = &stored {
            let Some(opened) = open(&self.settings.peppers, sealed) else {
                return Err(self.reject(context, OrgConflict::SecretsLost.into()).await);
            };
            (secrets, updated_at) = (opened, Some(sealed.updated_at));
        }
        let names = secrets.names();
        let opened = OpenedSecrets {
            org: id,
            secrets,
            updated_at,
        };
        self.audited_value(context, Auditable::new(200, opened).detail("names", names))
            .await
    }

    /// Begins to replace the secrets of an org. The old ones stay until the provisioner has handed back others.
    ///
    /// # Errors
    /// When the caller can't see the org, the key is limited to other plans, or the org is not ready.
    pub async fn org_secrets_rotate(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.request.at;
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let mut org = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                check_org_plan(caller, &org.plan)?;
                org.begin_change(ChangeKind::Rotate, now)
                    .map_err(OrgConflict::from)?;
                begin_step(tx, &org, StepName::Rotate, now)?;
                let slug = org.slug.to_string();
                Ok(Auditable::new(202, org).detail("slug", slug))
            })
            .await;
        self.statuses.invalidate(id);
        self.due.notify_one();
        answer
    }
}

/// Reads the secrets of orgs that are asked for at the same time, each for its own caller.
async fn read_all<D: Database>(
    db: D,
    orgs: Vec<OrgId>,
) -> Vec<Result<Option<SealedOrgSecrets>, StoreError>> {
    let mut distinct = orgs.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let found: Result<Vec<_>, StoreError> = db.read(move |view| view.org_secrets(&distinct)).await;
    let found: HashMap<OrgId, SealedOrgSecrets> = match found {
        Ok(found) => found.into_iter().map(|one| (one.org, one)).collect(),
        Err(fault) => return vec![Err(fault); orgs.len()],
    };
    orgs.iter().map(|org| Ok(found.get(org).cloned())).collect()
}

/// Writes an org that is due now, with this step before it. The row is updated once.
fn begin_step<T: Transaction>(
    tx: &mut T,
    org: &Org,
    name: StepName,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let mut steps = tx.org_steps(org.id)?;
    steps.retain(|step| step.name != name);
    steps.push(Step::pending(name));
    tx.orgs_progress(&[OrgProgress {
        work: OrgWork {
            org: org.clone(),
            steps,
        },
        due_at: Some(now),
        release: false,
        cancel: false,
    }])
}
