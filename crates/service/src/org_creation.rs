//! Orgs taken on record.
//!
//! Creations that come at the same time share a transaction. What is checked comes before what is
//! written, so one that is refused has written nothing but its event, and needs no savepoint. A call that
//! may be sent again takes more than that, and goes alone, through [`Service::change_once`].

mod batch;
mod quotas;

use std::sync::Arc;

use audit::{Receipt, Target, TargetKind};
use ids::{EventId, OrgId, PartnerId};
use keys::{HeldKey, Partner, PartnerKey};
use orgs::{
    Lease, NewOrg, Org, OrgDraft, OrgStatus, OrgStore as _, SLUG_HOLD, SlugClaim, Step, StepName,
    Subscription,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;

use self::{
    batch::create_all,
    quotas::{Counted, Quotas},
};
use crate::{
    Audited, Caller, Context, Error, Rejection, Rendered, Service,
    audited::{Done, active},
    authorize::permit_key_org_plan,
    reconcile::Hold,
    turns::Turn,
};

/// A creation that waits for others.
#[derive(Clone, Debug)]
pub(crate) struct Creation {
    context: Context,
    draft: OrgDraft,
    id: OrgId,
    event: EventId,
}

/// What has become of a creation.
#[derive(Debug)]
pub(crate) enum Created {
    /// It is on record by this event, and in the hands of a worker if it was handed over.
    Done(Box<Done<Org>>, bool, Receipt),
    /// It was refused, and that is on record by this event.
    Refused(Error, Receipt),
    /// It must go alone, and nothing has been done yet.
    Alone,
}

impl Creation {
    /// The partner whose org it is to be.
    fn partner(&self) -> Option<PartnerId> {
        self.context.caller.actor().partner_id()
    }

    fn claim(&self, partner: &Partner) -> SlugClaim {
        claim(&self.draft, self.id, partner, self.context.call.at)
    }
}

fn claim(draft: &OrgDraft, id: OrgId, partner: &Partner, now: OffsetDateTime) -> SlugClaim {
    SlugClaim {
        slug: draft.slug.clone(),
        org: id,
        partner: partner.id,
        held_since: now - SLUG_HOLD,
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
    ) -> Result<Audited<Rendered>, Rejection> {
        let mut wrong = Vec::new();
        if self.settings.reserved_slugs.contains(&draft.slug) {
            wrong.push(api::FieldError::new("/slug", "is reserved; choose another"));
        }
        if let Some(error) = self.unknown_plan(&draft.plan) {
            wrong.push(error);
        }
        if !wrong.is_empty() {
            return Err(self.reject(context, Error::Validation(wrong)).await);
        }
        let alone = match &context.caller {
            Caller::Partner(_) => context.idempotency_key.is_some(),
            Caller::Admin(_) => true,
        };
        if alone {
            return self.create_alone(context, draft, render).await;
        }
        let creation = Creation {
            context: context.clone(),
            draft: draft.clone(),
            id: self.env.id(),
            event: self.env.id(),
        };
        let (db, env) = (self.db.clone(), self.env.clone());
        let slots = Arc::clone(&self.slots);
        let create = move |all: Vec<Creation>| {
            let permits = slots.reserve(all.iter().map(Creation::partner));
            let hold = Hold::new(&env);
            create_all(db.clone(), all, Arc::clone(&slots), (hold, permits))
        };
        let created = self.creations.run(creation, self.db.together(), create);
        let (created, ()) = tokio::join!(created, self.note_use(context));
        let outcome = match created {
            Ok(Created::Done(done, handed_over, receipt)) => {
                if !handed_over {
                    self.due.notify_one();
                }
                Ok((receipt, Ok(*done)))
            }
            Ok(Created::Refused(error, receipt)) => Ok((receipt, Err(error))),
            Ok(Created::Alone) => return self.create_alone(context, draft, render).await,
            Err(error) => Err(error),
        };
        let answer = self.conclude(context, outcome).await?;
        Ok(answer.map(|org| render(&org)))
    }

    /// Waits until no other creation that goes alone is counted for the same partner: they would wait for
    /// its row, each with a connection in hand that others need.
    async fn quota_turn(&self, context: &Context) -> Result<Option<Turn>, Rejection> {
        let held = match &context.caller {
            Caller::Partner(held) => held,
            Caller::Admin(_) => return Ok(None),
        };
        if [held.as_ref()].into_iter().collect::<Counted>().is_empty() {
            return Ok(None);
        }
        match self.quota_turns.take(held.partner.id).await {
            Some(turn) => Ok(Some(turn)),
            None => Err(self.reject_fault(context, StoreError::Overloaded).await),
        }
    }

    /// In a transaction of its own.
    async fn create_alone(
        &self,
        context: &Context,
        draft: OrgDraft,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let id: OrgId = self.env.id();
        let now = context.call.at;
        let begun = self.idempotency_begin(context).await?;
        let _turn = self.quota_turn(context).await?;
        let answer = self
            .idempotent_write_begun(context, (begun, None), render, move |tx, caller| {
                let Caller::Partner(held) = caller else {
                    return Err(Error::NotPermitted("orgs are created with a partner key"));
                };
                let held = creator(tx, held, &draft, now)?;
                if tx.slugs_claim(&[claim(&draft, id, &held.partner, now)])? != [true] {
                    return Err(Error::SlugTaken);
                }
                let org = new_org(id, &held.key, &draft, now);
                tx.orgs_insert(&[unheld(&org)])?;
                Ok(done(org, &draft))
            })
            .await?;
        self.due.notify_one();
        Ok(answer)
    }
}

/// The key that an org is created with, in use until the transaction ends, if it may create this one.
fn creator<T: Transaction>(
    tx: &mut T,
    known: &HeldKey,
    draft: &OrgDraft,
    now: OffsetDateTime,
) -> Result<Arc<HeldKey>, Error> {
    let id = known.key.id;
    let mut counted: Counted = [known].into_iter().collect();
    loop {
        Quotas::lock(tx, &counted)?;
        let held = tx.keys_for_use(&[id])?.pop().ok_or(Error::InvalidKey)?;
        active(&held.key, now)?;
        permit_key_org_plan(&held.key, &draft.plan)?;
        let mut quotas = Quotas::count(tx, counted)?;
        if quotas.cover(&held) {
            quotas.take(&held)?;
            return Ok(held);
        }
        // It is counted since a moment ago.
        counted = [held.as_ref()].into_iter().collect();
    }
}

fn new_org(id: OrgId, key: &PartnerKey, draft: &OrgDraft, now: OffsetDateTime) -> Org {
    Org {
        id,
        partner_id: key.partner_id,
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
    }
}

/// For whichever worker comes first.
fn unheld(org: &Org) -> NewOrg {
    NewOrg {
        org: org.clone(),
        steps: StepName::MAKING.map(Step::pending).to_vec(),
        subscription: Some(Subscription::starting(org.created_at)),
        lease: None,
    }
}

/// For the worker to whom it is handed over: its making has begun.
fn held(org: &Org, lease: Lease) -> NewOrg {
    let mut new = unheld(org);
    new.lease = Some(lease);
    if let Some(first) = new.steps.first_mut() {
        first.begin(org.created_at);
    }
    new
}

fn done(org: Org, draft: &OrgDraft) -> Done<Org> {
    let id = org.id;
    let done = Done::new(201, org)
        .on(Target::one(TargetKind::Org, id))
        .in_org(id)
        .detail("name", draft.name.as_str())
        .detail("slug", draft.slug.as_str())
        .detail("plan", draft.plan.as_str());
    match draft.ttl {
        Some(ttl) => done.detail("ttl_seconds", ttl.seconds()),
        None => done,
    }
}
