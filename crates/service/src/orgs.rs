//! Orgs: created, seen and deleted by partner keys; paused, resumed and tried again by the operator.

use std::sync::{Arc, OnceLock};

use audit::{Target, TargetKind};
use ids::{OrgId, Page, PageRequest, PlanName};
use keys::{HeldKey, KeyStatus, KeyStore as _, PartnerKey};
use orgs::{
    Move, Org, OrgDraft, OrgFilter, OrgQueries as _, OrgSight, OrgStatus, OrgStore as _, SLUG_HOLD,
    Step, StepName, Subscription,
};
use ratelimit::Limiter;
use scopes::Scope;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;
use webhooks::EventKind;

use crate::{
    Answer, Caller, Context, Error, OrgConflict, Refusal, Rendered, Service, audited::Done,
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
pub(crate) fn sight(caller: &Caller) -> OrgSight {
    match caller {
        Caller::Admin(_) => OrgSight::All,
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => OrgSight::One(held.partner.id, org),
            None => OrgSight::Partner(held.partner.id),
        },
    }
}

/// Which orgs the caller can read: with `orgs:create` alone, those that this very key made.
pub(crate) fn reading_sight(caller: &Caller) -> OrgSight {
    match caller {
        Caller::Partner(held) if !held.key.scopes.contains(Scope::OrgsList) => {
            OrgSight::MadeBy(held.partner.id, held.key.id)
        }
        Caller::Partner(_) | Caller::Admin(_) => sight(caller),
    }
}

/// The key that an org is made with, held until the transaction ends: whoever revokes it meanwhile
/// waits, and then sees the org. Where the orgs of its making are counted, it is held alone.
fn maker<T: Transaction>(
    tx: &mut T,
    held: &HeldKey,
    now: OffsetDateTime,
) -> Result<PartnerKey, Error> {
    let id = held.key.id;
    let held = if held.key.max_live_orgs.is_some() {
        tx.key_for_update(id)?
    } else {
        tx.key_for_use(id)?
    };
    let key = held.ok_or(Error::InvalidKey)?.key;
    match key.status(now) {
        KeyStatus::Active => Ok(key),
        KeyStatus::Disabled => Err(Error::KeyDisabled),
        KeyStatus::Expired => Err(Error::KeyExpired),
        KeyStatus::Revoked => Err(Error::KeyRevoked),
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
    /// Takes an org on record; it is made outside of the call.
    ///
    /// # Errors
    /// When the slug or the plan can't be had, or the partner or the key has as many orgs as it may.
    pub async fn org_create(
        &self,
        context: &Context,
        draft: OrgDraft,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Answer<Rendered>, Refusal> {
        let mut wrong = Vec::new();
        if self.settings.reserved_slugs.contains(&draft.slug) {
            wrong.push(api::FieldError::new("/slug", "is reserved; choose another"));
        }
        if let Some(error) = self.unknown_plan(&draft.plan) {
            wrong.push(error);
        }
        if !wrong.is_empty() {
            return Err(self.refuse(context, Error::Validation(wrong)).await);
        }
        let id: OrgId = self.world.id();
        let now = context.call.at;
        let answer = self
            .change_once(context, None, render, move |tx, caller| {
                let Caller::Partner(held) = caller else {
                    return Err(Error::NotPermitted("orgs are created with a partner key"));
                };
                let (key, partner) = (maker(tx, held, now)?, &held.partner);
                if !key.allows_org_plan(&draft.plan) {
                    let allowed = key.org_plans.clone().unwrap_or_default();
                    return Err(Error::OrgPlanNotAllowed {
                        plan: draft.plan.clone(),
                        allowed,
                    });
                }
                if partner.max_orgs.is_some() {
                    // The partner's row is held from here on, so that two calls can't pass together.
                    let held = tx
                        .partner_for_update(partner.id)?
                        .and_then(|held| held.max_orgs);
                    if let Some(max) = held
                        && tx.live_org_count(partner.id)? >= max
                    {
                        return Err(Error::OrgQuota(max));
                    }
                }
                if let Some(max) = key.max_live_orgs
                    && tx.live_org_count_of_key(key.id)? >= max
                {
                    return Err(Error::KeyOrgQuota(max));
                }
                if !tx.slug_claim(&draft.slug, id, partner.id, now - SLUG_HOLD)? {
                    return Err(Error::SlugTaken);
                }
                let org = Org {
                    id,
                    partner_id: partner.id,
                    created_by_key_id: key.id,
                    name: draft.name.clone(),
                    slug: draft.slug.clone(),
                    plan: draft.plan.clone(),
                    status: OrgStatus::Provisioning,
                    external_id: draft.external_id.clone(),
                    labels: draft.labels.clone(),
                    created_at: now,
                    updated_at: now,
                    ready_at: None,
                    expires_at: draft.ttl.map(|ttl| ttl.end(now)),
                    deleted_at: None,
                    failure: None,
                    attempts: 0,
                };
                tx.org_insert(&org, &StepName::MAKING.map(Step::pending))?;
                tx.subscription_put(id, &Subscription::starting(now))?;
                let done = Done::new(201, org.clone())
                    .on(Target::one(TargetKind::Org, id))
                    .in_org(id)
                    .detail("name", org.name.as_str())
                    .detail("slug", org.slug.as_str())
                    .detail("plan", org.plan.as_str());
                Ok(match draft.ttl {
                    Some(ttl) => done.detail("ttl_seconds", ttl.seconds()),
                    None => done,
                })
            })
            .await?;
        self.due.notify_one();
        Ok(answer)
    }

    /// Lists orgs; the filter's sight is the caller's, see [`Service::org_list_sight`].
    ///
    /// # Errors
    /// As for every use case.
    pub async fn org_list(
        &self,
        context: &Context,
        filter: OrgFilter,
        page: PageRequest,
    ) -> Result<Answer<Page<Org>>, Refusal> {
        self.look(context, move |view| {
            Ok(Done::new(200, view.orgs(&filter, page)?))
        })
        .await
    }

    /// The sight within which the caller lists orgs.
    #[must_use]
    pub fn org_list_sight(&self, context: &Context) -> OrgSight {
        reading_sight(&context.caller)
    }

    /// Reads an org.
    ///
    /// # Errors
    /// When there is none of this id in the caller's sight.
    pub async fn org_read(&self, context: &Context, id: OrgId) -> Result<Answer<Org>, Refusal> {
        let sight = reading_sight(&context.caller);
        self.look(context, move |view| {
            Ok(Done::new(200, view.org(sight, id)?.ok_or(Error::NotFound)?))
        })
        .await
    }

    /// Reads where an org stands.
    ///
    /// # Errors
    /// When there is none of this id in the caller's sight.
    pub async fn org_status(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Answer<Arc<OrgWithSteps>>, Refusal> {
        let status = self.status_in_sight(context, id).await?;
        self.looked(context, Done::new(200, status)).await
    }

    pub(crate) async fn read_status(
        &self,
        id: OrgId,
    ) -> Result<Option<Arc<OrgWithSteps>>, StoreError> {
        let asked = self.statuses.asking();
        let found: Result<_, StoreError> = self
            .db
            .read(move |view| {
                let Some(org) = view.org(OrgSight::All, id)? else {
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
    /// When there is none of this id in the caller's sight.
    pub async fn org_delete(&self, context: &Context, id: OrgId) -> Result<Answer<Org>, Refusal> {
        let now = context.call.at;
        let answer = self
            .change(context, move |tx, caller| {
                let mut org = tx
                    .org_for_update(sight(caller), id)?
                    .ok_or(Error::NotFound)?;
                match org.status {
                    OrgStatus::Deleted => return Ok(Done::new(204, org)),
                    OrgStatus::Deprovisioning => {}
                    OrgStatus::Provisioning
                    | OrgStatus::Ready
                    | OrgStatus::Failed
                    | OrgStatus::Suspended => {
                        org.apply(Move::Delete, now).map_err(OrgConflict::from)?;
                        let mut steps = tx.org_steps(id)?;
                        steps.push(Step::pending(StepName::Deprovision));
                        tx.steps_replace(id, &steps)?;
                        tx.org_update(&org, Some(now))?;
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
    ) -> Result<Answer<Rendered>, Refusal> {
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
    ) -> Result<Answer<Rendered>, Refusal> {
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
    ) -> Result<Answer<Rendered>, Refusal> {
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
    ) -> Result<Answer<Rendered>, Refusal> {
        let (now, outbox) = (context.call.at, self.outbox.clone());
        let answer = self
            .change_once(context, None, render, move |tx, caller| {
                let mut org = tx
                    .org_for_update(sight(caller), id)?
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
