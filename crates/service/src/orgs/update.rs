//! Changing orgs: what this service keeps of them at once, their plan and options by their provisioner.

use ids::OrgId;
use orgs::{ChangeKind, Org, OrgChanges, OrgStatus, Step, Verb};
use ratelimit::Limiter;
use stores::{Database, prelude::*};
use webhooks::EventKind;

use super::{create::LEASE_OF_PROTECTED, option_faults, visibility};
use crate::{
    Audited, Context, Error, OrgConflict, Rejection, Service, audited::Auditable,
    authorize::check_org_plan, partners::changed,
};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Changes an org, with status 200; where its provisioner has to do something, that begins, with status 202.
    ///
    /// # Errors
    /// When there is none of this id that the caller can see, the key is limited to other plans than the org has
    /// or is to have, a value does not fit, the org is being deleted, or its provisioner is to change it and it
    /// is not ready.
    pub async fn org_update(
        &self,
        context: &Context,
        id: OrgId,
        changes: OrgChanges,
    ) -> Result<Audited<Org>, Rejection> {
        if let Some(error) = changes
            .plan
            .as_ref()
            .and_then(|plan| self.unknown_plan(plan))
        {
            return Err(self.reject(context, Error::Validation(vec![error])).await);
        }
        let (now, outbox) = (context.request.at, self.outbox.clone());
        let plans = self.settings.plans.clone();
        let answer = self
            .audited_write(context, move |tx, caller| {
                let before = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                check_org_plan(caller, &before.plan)?;
                if let Some(plan) = &changes.plan {
                    check_org_plan(caller, plan)?;
                }
                let mut org = before.clone();
                changes
                    .edit(&mut org)
                    .map_err(|error| Error::at("/labels", error))?;
                let config = changes
                    .config(&org)
                    .map_err(|error| Error::at("/options", error))?;
                let changed = changed(&[
                    ("name", before.name != org.name),
                    ("external_id", before.external_id != org.external_id),
                    ("labels", before.labels != org.labels),
                    (
                        "delete_protection",
                        before.delete_protection != org.delete_protection,
                    ),
                    ("plan", before.plan != config.plan),
                    ("options", before.options != config.options),
                ]);
                if org.delete_protection && org.expires_at.is_some() {
                    return Err(Error::at("/delete_protection", LEASE_OF_PROTECTED));
                }
                if changes.is_for_provisioner() {
                    let faults = option_faults(&plans, &config.plan, &config.options);
                    if !faults.is_empty() {
                        return Err(Error::Validation(faults));
                    }
                }
                if !org.status.is_deletable() {
                    return Err(OrgConflict::Deleting(org.status).into());
                }
                if changes.is_for_provisioner() && org.status != OrgStatus::Ready {
                    return Err(OrgConflict::NotReady(org.status).into());
                }
                let is_new = config.plan != org.plan || config.options != org.options;
                if is_new {
                    org.begin_change(ChangeKind::Update(config), now)
                        .map_err(OrgConflict::from)?;
                    let steps = with_step(tx.org_steps(id)?, Verb::Update);
                    tx.org_edit(&org, Some((steps.as_slice(), now)))?;
                } else if !changed.is_empty() {
                    org.updated_at = now;
                    tx.org_edit(&org, None)?;
                    outbox.org(tx, EventKind::OrgUpdated, &org, now)?;
                }
                let status = if is_new { 202 } else { 200 };
                Ok(Auditable::new(status, org).detail("changed", changed))
            })
            .await;
        self.statuses.invalidate(id);
        self.due.notify_one();
        self.outgoing.notify_one();
        answer
    }
}

/// The steps of an org with a new one for this verb, in the place of an earlier one.
fn with_step(mut steps: Vec<Step>, verb: Verb) -> Vec<Step> {
    steps.retain(|step| step.name != verb.step());
    steps.push(Step::pending(verb.step()));
    steps
}
