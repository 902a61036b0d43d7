//! Creating orgs. An org is recorded here; the reconciler makes it real.
//!
//! Creations that come at the same time share a transaction. What is checked comes before what is written, so
//! a rejected one has written nothing but its event and needs no savepoint. One with an idempotency key has a
//! transaction of its own, for it may have to wait for a duplicate's; it goes through the same `insert_all`, alone.

mod batch;
mod quotas;

use std::sync::Arc;

use audit::Receipt;
use ids::{EventId, OrgId, PartnerId};
use keys::Partner;
use orgs::{Org, OrgDraft, SLUG_HOLD, SlugRequest};
use ratelimit::Limiter;
use stores::{Database, StoreError};

use self::{
    batch::{create_batch, insert_all},
    quotas::Counted,
};
use crate::{
    Audited, Caller, Context, Error, Rejection, Rendered, Service, audited::Auditable,
    runtime::keyed_lock::KeyedGuard,
};

/// Why an org has either a lease or the protection from deletion.
pub(super) const LEASE_OF_PROTECTED: &str =
    "an org with delete_protection has no lease; leave one of them out";

/// A request for an org.
#[derive(Clone, Debug)]
pub(crate) struct CreateOrg {
    context: Context,
    draft: OrgDraft,
    id: OrgId,
    event: EventId,
}

impl CreateOrg {
    fn partner(&self) -> Option<PartnerId> {
        self.context.caller.actor().partner_id()
    }

    fn slug_request(&self, partner: &Partner) -> SlugRequest {
        SlugRequest {
            slug: self.draft.slug.clone(),
            org: self.id,
            partner: partner.id,
            held_since: self.context.request.at - SLUG_HOLD,
        }
    }
}

/// What became of a request, recorded by the receipt's event.
#[derive(Debug)]
pub(crate) struct Created {
    receipt: Receipt,
    result: Result<Auditable<Org>, Error>,
    /// Whether a worker of this process has the org already.
    is_handed_over: bool,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Creates an org; it is made real outside of the request.
    ///
    /// # Errors
    /// When the slug or the plan is not available, or the partner or the key has reached its quota.
    pub async fn org_create(
        &self,
        context: &Context,
        draft: OrgDraft,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let mut faults = Vec::new();
        if self.settings.reserved_slugs.contains(&draft.slug) {
            faults.push(api::FieldError::new("/slug", "is reserved; choose another"));
        }
        faults.extend(self.config_faults(&draft.plan, &draft.options));
        if draft.delete_protection && draft.ttl.is_some() {
            faults.push(api::FieldError::new("/ttl_seconds", LEASE_OF_PROTECTED));
        }
        if !faults.is_empty() {
            return Err(self.reject(context, Error::Validation(faults)).await);
        }
        let create = CreateOrg {
            context: context.clone(),
            draft,
            id: self.env.id(),
            event: self.env.id(),
        };
        if context.idempotency_key.is_some() {
            return self.create_idempotent(context, create, render).await;
        }
        let (db, env, slots) = (self.db.clone(), self.env.clone(), Arc::clone(&self.slots));
        let work = move |all| create_batch(db.clone(), env.clone(), Arc::clone(&slots), all);
        let owner = context.caller.requester().owner;
        let created = self.creations.run(owner, create, self.db.max_batch(), work);
        let (created, ()) = tokio::join!(created, self.record_key_use(context));
        if let Ok(Created {
            is_handed_over: false,
            result: Ok(_),
            ..
        }) = &created
        {
            self.due.notify_one();
        }
        let written = created.map(|created| (created.receipt, created.result));
        let org = self.finish_write(context, written).await?;
        Ok(org.map(|org| render(&org)))
    }

    async fn create_idempotent(
        &self,
        context: &Context,
        create: CreateOrg,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let in_flight = self.begin_idempotent(context).await?;
        let _lock = self.lock_quota(context).await?;
        let response = self
            .idempotent_write_in_flight(context, (in_flight, None), render, move |tx, _| {
                let mut results = insert_all(tx, std::slice::from_ref(&create), &[None])?;
                results.pop().flatten().ok_or(StoreError::Panicked)?
            })
            .await?;
        self.due.notify_one();
        Ok(response)
    }

    /// Waits until no other creation with a transaction of its own counts the same partner's orgs: they would
    /// wait for the partner's row, each with a connection in hand that others need.
    async fn lock_quota(&self, context: &Context) -> Result<Option<KeyedGuard>, Rejection> {
        let held = match &context.caller {
            Caller::Partner(held) => held,
            Caller::Admin(_) => return Ok(None),
        };
        if [held.as_ref()].into_iter().collect::<Counted>().is_empty() {
            return Ok(None);
        }
        match self.quota_locks.lock(held.partner.id).await {
            Some(lock) => Ok(Some(lock)),
            None => Err(self.reject_fault(context, StoreError::Overloaded).await),
        }
    }
}
