//! Orgs: seen and deleted by partner keys; paused, resumed and tried again by the operator.

use std::sync::{Arc, OnceLock};

use ids::{OrgId, Page, PageRequest, PlanName};
use orgs::{Move, Org, OrgFilter, OrgQueries as _, OrgStatus, OrgStore as _, OrgVisibility, Step};
use ratelimit::Limiter;
use scopes::Scope;
use stores::{Database, StoreError};
use webhooks::EventKind;

use crate::{
    Audited, Caller, Context, Error, OrgConflict, Rejection, Rendered, Service, audited::Done,
    authorize::permit_org_plan,
};

/// An org and the steps in which it is made or taken away.
#[derive(Debug)]
pub struct OrgWithSteps {
    /// The org.
    pub org: Org,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
    /// Both as they go out.
    body: OnceLock<Vec<u8>>,
}

impl OrgWithSteps {
    pub(crate) const fn new(org: Org, steps: Vec<Step>) -> Self {
        let body = OnceLock::new();
        Self { org, steps, body }
    }

    /// The body of an answer, written by the first who asks for it: many poll the same org.
    pub fn body(&self, write: impl FnOnce(&Self) -> Vec<u8>) -> &[u8] {
        self.body.get_or_init(|| write(self))
    }
}

/// Which orgs the caller can act on.
pub(crate) fn visibility(caller: &Caller) -> OrgVisibility {
    match caller {
        Caller::Admin(_) => OrgVisibility::All,
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => OrgVisibility::One(held.partner.id, org),
            None => OrgVisibility::Partner(held.partner.id),
        },
    }
}

/// Which orgs the caller can read: with `orgs:create` alone, those that this very key made.
pub(crate) fn reading_visibility(caller: &Caller) -> OrgVisibility {
    match caller {
        Caller::Partner(held) if !held.key.scopes.contains(Scope::OrgsList) => {
            OrgVisibility::MadeBy(held.partner.id, held.key.id)
        }
        Caller::Partner(_) | Caller::Admin(_) => visibility(caller),
    }
}

/// What partners are told of a move that the operator makes.
const fn told_as(status: OrgStatus) -> Option<EventKind> {
    match status {
        OrgStatus::Suspended => Some(EventKind::OrgSuspended),
        OrgStatus::Ready => Some(EventKind::OrgResumed),
        OrgStatus::Provisioning
        | OrgStatus::Failed
        | OrgStatus::Deprovisioning
        | OrgStatus::Deleted => None,
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists orgs; the filter's visibility is the caller's, see [`Service::org_list_visibility`].
    ///
    /// # Errors
    /// As for every use case.
    pub async fn org_list(
        &self,
        context: &Context,
        filter: OrgFilter,
        page: PageRequest,
    ) -> Result<Audited<Page<Org>>, Rejection> {
        self.audited_list(context, move |view| {
            Ok(Done::new(200, view.orgs(&filter, page)?))
        })
        .await
    }

    /// The visibility within which the caller lists orgs.
    #[must_use]
    pub fn org_list_visibility(&self, context: &Context) -> OrgVisibility {
        reading_visibility(&context.caller)
    }

    /// Reads an org.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility.
    pub async fn org_read(&self, context: &Context, id: OrgId) -> Result<Audited<Org>, Rejection> {
        let visibility = reading_visibility(&context.caller);
        self.audited_read(context, move |view| {
            Ok(Done::new(
                200,
                view.org(visibility, id)?.ok_or(Error::NotFound)?,
            ))
        })
        .await
    }

    /// Reads where an org stands.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility.
    pub async fn org_status(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<Arc<OrgWithSteps>>, Rejection> {
        let status = self.visible_status(context, id).await?;
        self.audited_value(context, Done::new(200, status)).await
    }

    pub(crate) async fn read_status(
        &self,
        id: OrgId,
    ) -> Result<Option<Arc<OrgWithSteps>>, StoreError> {
        let asked = self.statuses.asking();
        let found: Result<_, StoreError> = self
            .db
            .read(move |view| {
                let Some(org) = view.org(OrgVisibility::All, id)? else {
                    return Ok(None);
                };
                let steps = view.org_steps(id)?;
                Ok(Some(Arc::new(OrgWithSteps::new(org, steps))))
            })
            .await;
        let found = found?;
        if let Some(status) = &found {
            self.statuses.remember(asked, Arc::clone(status));
        }
        Ok(found)
    }

    /// Has an org taken away; what is on its way already stays on it.
    ///
    /// # Errors
    /// When there is none of this id in the caller's visibility, or the key is held to other plans.
    pub async fn org_delete(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<Org>, Rejection> {
        let now = context.call.at;
        let answer = self
            .audited_write(context, move |tx, caller| {
                let mut org = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                permit_org_plan(caller, &org.plan)?;
                match org.status {
                    OrgStatus::Deleted => return Ok(Done::new(204, org)),
                    OrgStatus::Deprovisioning => {}
                    OrgStatus::Provisioning
                    | OrgStatus::Ready
                    | OrgStatus::Failed
                    | OrgStatus::Suspended => {
                        org.apply(Move::Delete, now).map_err(OrgConflict::from)?;
                        tx.orgs_send_off(&[id], now)?;
                    }
                }
                let slug = org.slug.to_string();
                Ok(Done::new(202, org).detail("slug", slug))
            })
            .await;
        self.statuses.changed(id);
        self.due.notify_one();
        answer
    }

    /// Pauses an org.
    ///
    /// # Errors
    /// When there is none of this id, or it is not ready.
    pub async fn org_suspend(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.org_move(context, id, Move::Suspend, render).await
    }

    /// Ends an org's pause.
    ///
    /// # Errors
    /// When there is none of this id, or it is not paused.
    pub async fn org_resume(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.org_move(context, id, Move::Resume, render).await
    }

    /// Has a failed org tried again.
    ///
    /// # Errors
    /// When there is none of this id, or it has not failed.
    pub async fn org_retry(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let answer = self.org_move(context, id, Move::Retry, render).await?;
        self.due.notify_one();
        Ok(answer)
    }

    async fn org_move(
        &self,
        context: &Context,
        id: OrgId,
        step: Move,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let (now, outbox) = (context.call.at, self.outbox.clone());
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let mut org = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                let before = org.status;
                org.apply(step, now).map_err(OrgConflict::from)?;
                tx.org_update(&org, org.status.is_pending().then_some(now))?;
                if let Some(kind) = told_as(org.status) {
                    outbox.org(tx, kind, &org, now)?;
                }
                let done = Done::new(200, org).detail("from", before.as_str());
                Ok(done)
            })
            .await;
        self.statuses.changed(id);
        self.outgoing.notify_one();
        answer
    }

    pub(crate) fn unknown_plan(&self, plan: &PlanName) -> Option<api::FieldError> {
        let plans = &self.settings.plans;
        (!plans.contains(plan))
            .then(|| api::FieldError::new("/plan", format!("the plans are {plans}")))
    }
}
