//! Orgs: created, read, polled, changed and deleted by partner keys; suspended, resumed and retried by the operator.
//!
//! It owns what a request does to an org, and who may see which. It must not know how orgs are provisioned.

pub(crate) mod create;
mod delete;
pub(crate) mod held_polls;
pub(crate) mod long_polls;
pub(crate) mod secrets;
pub(crate) mod status_cache;
mod status_watch;
mod update;

use std::sync::{Arc, OnceLock};

use ids::{OrgId, Page, PageRequest, PlanName};
use orgs::{
    Org, OrgListRequest, OrgOptions, OrgStatus, OrgVisibility, PlanCatalogue, Step, Transition,
};
use ratelimit::Limiter;
use scopes::Scope;
use stores::{Database, StoreError, prelude::*};
use webhooks::EventKind;

pub(crate) use self::delete::begin_deprovision;
use self::delete::check_unprotected;
use crate::{
    Audited, Caller, Context, Error, OrgConflict, Rejection, Rendered, Service, audited::Auditable,
    authorize::check_org_plan,
};

/// An org and its steps.
#[derive(Debug)]
pub struct OrgWithSteps {
    /// The org.
    pub org: Org,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
    /// The body of a response with both.
    body: OnceLock<Vec<u8>>,
}

impl OrgWithSteps {
    /// The org without its outputs, which no status shows: they may be long, and statuses are cached.
    pub(crate) fn new(mut org: Org, steps: Vec<Step>) -> Self {
        org.outputs.clear();
        let body = OnceLock::new();
        Self { org, steps, body }
    }

    /// The body of a response, written once: many clients poll the same org.
    pub fn body(&self, write: impl FnOnce(&Self) -> Vec<u8>) -> &[u8] {
        self.body.get_or_init(|| write(self))
    }
}

/// The orgs that the caller can act on.
pub(crate) fn visibility(caller: &Caller) -> OrgVisibility {
    match caller {
        Caller::Admin(_) => OrgVisibility::All,
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => OrgVisibility::One(held.partner.id, org),
            None => OrgVisibility::Partner(held.partner.id),
        },
    }
}

/// The orgs that the caller can read: with `orgs:create` alone, those that this very key created.
pub(crate) fn reading_visibility(caller: &Caller) -> OrgVisibility {
    match caller {
        Caller::Partner(held) if !held.key.scopes.contains(Scope::OrgsList) => {
            OrgVisibility::MadeBy(held.partner.id, held.key.id)
        }
        Caller::Partner(_) | Caller::Admin(_) => visibility(caller),
    }
}

/// The webhook for a transition that the operator makes.
const fn webhook_kind(status: OrgStatus) -> Option<EventKind> {
    match status {
        OrgStatus::Suspended => Some(EventKind::OrgSuspended),
        OrgStatus::Ready => Some(EventKind::OrgResumed),
        OrgStatus::Provisioning
        | OrgStatus::Updating
        | OrgStatus::Failed
        | OrgStatus::Deprovisioning
        | OrgStatus::Deleted => None,
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists the orgs that the caller may read.
    ///
    /// Visibility is decided here. A request has no member for it, so no handler can widen or forget it:
    ///
    /// ```compile_fail,E0560
    /// # use orgs::{OrgListRequest, OrgVisibility};
    /// let request = OrgListRequest {
    ///     visibility: OrgVisibility::All,
    ///     ..OrgListRequest::default()
    /// };
    /// ```
    ///
    /// The filter that a store takes has one, and is not accepted here:
    ///
    /// ```compile_fail,E0308
    /// # use ids::PageRequest;
    /// # use orgs::{OrgFilter, OrgListRequest, OrgVisibility};
    /// # use ratelimit::Limiter;
    /// # use service::{Context, Service};
    /// # use stores::Database;
    /// async fn handler<D: Database, L: Limiter>(service: &Service<D, L, ()>, context: &Context) {
    ///     let everything = OrgListRequest::default().within(OrgVisibility::All);
    ///     let everything: OrgFilter = everything.unwrap();
    ///     let _ = service.org_list(context, everything, PageRequest::new(10, None)).await;
    /// }
    /// ```
    ///
    /// The handler that asks as it should compiles:
    ///
    /// ```
    /// # use ids::PageRequest;
    /// # use orgs::OrgListRequest;
    /// # use ratelimit::Limiter;
    /// # use service::{Context, Service};
    /// # use stores::Database;
    /// async fn handler<D: Database, L: Limiter>(service: &Service<D, L, ()>, context: &Context) {
    ///     let request = OrgListRequest::default();
    ///     let _ = service.org_list(context, request, PageRequest::new(10, None)).await;
    /// }
    /// ```
    ///
    /// # Errors
    /// As for every use case.
    pub async fn org_list(
        &self,
        context: &Context,
        request: OrgListRequest,
        page: PageRequest,
    ) -> Result<Audited<Page<Org>>, Rejection> {
        let filter = request.within(reading_visibility(&context.caller));
        self.audited_list(context, move |view| {
            let orgs = match filter {
                Some(filter) => view.orgs(&filter, page)?,
                None => Page::empty(),
            };
            Ok(Auditable::new(200, orgs))
        })
        .await
    }

    /// Reads an org.
    ///
    /// # Errors
    /// When there is none of this id that the caller can see.
    pub async fn org_read(&self, context: &Context, id: OrgId) -> Result<Audited<Org>, Rejection> {
        let visibility = reading_visibility(&context.caller);
        self.audited_read(context, move |view| {
            Ok(Auditable::new(
                200,
                view.org(visibility, id)?.ok_or(Error::NotFound)?,
            ))
        })
        .await
    }

    /// Reads an org's status.
    ///
    /// # Errors
    /// When there is none of this id that the caller can see.
    pub async fn org_status(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<Arc<OrgWithSteps>>, Rejection> {
        let status = self.visible_status(context, id).await?;
        self.audited_value(context, Auditable::new(200, status))
            .await
    }

    pub(crate) async fn read_status(
        &self,
        id: OrgId,
    ) -> Result<Option<Arc<OrgWithSteps>>, StoreError> {
        let read = self.statuses.begin_read();
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
            self.statuses.insert(read, Arc::clone(status));
        }
        Ok(found)
    }

    /// Begins to delete an org; of one that is being deleted already, nothing changes.
    ///
    /// # Errors
    /// When there is none of this id that the caller can see, the key is limited to other plans, or the org is
    /// protected from deletion.
    pub async fn org_delete(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<Org>, Rejection> {
        let now = context.request.at;
        let answer = self
            .audited_write(context, move |tx, caller| {
                let mut org = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                check_org_plan(caller, &org.plan)?;
                match org.status {
                    OrgStatus::Deleted => return Ok(Auditable::new(204, org)),
                    OrgStatus::Deprovisioning => {}
                    OrgStatus::Provisioning
                    | OrgStatus::Ready
                    | OrgStatus::Updating
                    | OrgStatus::Failed
                    | OrgStatus::Suspended => {
                        check_unprotected(std::slice::from_ref(&org))?;
                        org.apply(Transition::Delete, now)
                            .map_err(OrgConflict::from)?;
                        tx.orgs_begin_deprovision(&[id], now)?;
                    }
                }
                let slug = org.slug.to_string();
                Ok(Auditable::new(202, org).detail("slug", slug))
            })
            .await;
        self.statuses.invalidate(id);
        self.due.notify_one();
        answer
    }

    /// Suspends an org.
    ///
    /// # Errors
    /// When there is none of this id, or it is not ready.
    pub async fn org_suspend(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.org_move(context, id, Transition::Suspend, render)
            .await
    }

    /// Resumes a suspended org.
    ///
    /// # Errors
    /// When there is none of this id, or it is not suspended.
    pub async fn org_resume(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        self.org_move(context, id, Transition::Resume, render).await
    }

    /// Retries a failed org.
    ///
    /// # Errors
    /// When there is none of this id, or it has not failed.
    pub async fn org_retry(
        &self,
        context: &Context,
        id: OrgId,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let answer = self
            .org_move(context, id, Transition::Retry, render)
            .await?;
        self.due.notify_one();
        Ok(answer)
    }

    async fn org_move(
        &self,
        context: &Context,
        id: OrgId,
        step: Transition,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let (now, outbox) = (context.request.at, self.outbox.clone());
        let answer = self
            .idempotent_write(context, None, render, move |tx, caller| {
                let mut org = tx
                    .org_for_update(visibility(caller), id)?
                    .ok_or(Error::NotFound)?;
                let before = org.status;
                org.apply(step, now).map_err(OrgConflict::from)?;
                tx.org_update(&org, org.status.is_pending().then_some(now))?;
                if let Some(kind) = webhook_kind(org.status) {
                    outbox.org(tx, kind, &org, now)?;
                }
                Ok(Auditable::new(200, org).detail("from", before.as_str()))
            })
            .await;
        self.statuses.invalidate(id);
        self.outgoing.notify_one();
        answer
    }

    /// What keeps an org from having this plan with these options.
    pub(crate) fn config_faults(
        &self,
        plan: &PlanName,
        options: &OrgOptions,
    ) -> Vec<api::FieldError> {
        let faults = option_faults(&self.settings.plans, plan, options);
        self.unknown_plan(plan).into_iter().chain(faults).collect()
    }

    pub(crate) fn unknown_plan(&self, plan: &PlanName) -> Option<api::FieldError> {
        let plans = &self.settings.plans;
        (!plans.contains(plan))
            .then(|| api::FieldError::new("/plan", format!("the plans are {plans}")))
    }
}

/// What keeps an org of this plan from having these options.
fn option_faults(
    plans: &PlanCatalogue,
    plan: &PlanName,
    options: &OrgOptions,
) -> Vec<api::FieldError> {
    let faults = plans.option_faults(plan, options).into_iter();
    faults
        .map(|(pointer, detail)| api::FieldError::new(format!("/options{pointer}"), detail))
        .collect()
}
