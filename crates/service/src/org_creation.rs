//! Orgs taken on record.
//!
//! Creations that come at the same time share a transaction. What is checked comes before what is
//! written, so one that is refused has written nothing but its event, and needs no savepoint. Whatever
//! takes more than that goes alone, through [`Service::change_once`]: a call that may be sent again, and
//! one whose orgs are counted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use audit::{Target, TargetKind};
use ids::{EventId, KeyId, OrgId};
use keys::{HeldKey, Partner, PartnerKey};
use orgs::{
    Lease, NewOrg, Org, OrgDraft, OrgStatus, OrgStore as _, OrgWork, SLUG_HOLD, SlugClaim, Step,
    StepName, Subscription,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;

use crate::{
    Answer, Caller, Context, Error, Refusal, Rendered, Service,
    audited::{Done, active, done_event, partner_caller, refused_event},
    authorize::permit_key_org_plan,
    reconcile::Hold,
    workshop::{Place, Workshop},
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
    /// It is on record, and in the hands of a worker if it was handed over.
    Done(Box<Done<Org>>, bool),
    /// It was refused, and that is on record.
    Refused(Error),
    /// It must go alone, and nothing has been done yet.
    Alone,
}

impl Creation {
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

/// Whether orgs are counted before this key makes another one.
const fn is_counted(held: &HeldKey) -> bool {
    held.key.max_live_orgs.is_some() || held.partner.max_orgs.is_some()
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
        let alone = match &context.caller {
            Caller::Partner(held) => context.once.is_some() || is_counted(held),
            Caller::Admin(_) => true,
        };
        if alone {
            return self.create_alone(context, draft, render).await;
        }
        let event = self.world.id();
        let creation = Creation {
            context: context.clone(),
            draft: draft.clone(),
            id: self.world.id(),
            event,
        };
        let (db, world) = (self.db.clone(), self.world.clone());
        let workshop = Arc::clone(&self.workshop);
        let create = move |all: Vec<Creation>| {
            let places = workshop.keep_free(all.len());
            let hold = Hold::new(&world);
            create_all(db.clone(), all, Arc::clone(&workshop), (hold, places))
        };
        let created = self.creations.run(creation, self.db.together(), create);
        let outcome = match created.await {
            Ok(Created::Done(done, handed_over)) => {
                if !handed_over {
                    self.due.notify_one();
                }
                Ok(Ok(*done))
            }
            Ok(Created::Refused(error)) => Ok(Err(error)),
            Ok(Created::Alone) => return self.create_alone(context, draft, render).await,
            Err(error) => Err(error),
        };
        let Answer { value, status, .. } = self.conclude(context, event, outcome).await?;
        Ok(Answer {
            value: render(&value),
            status,
            event,
        })
    }

    /// In a transaction of its own.
    async fn create_alone(
        &self,
        context: &Context,
        draft: OrgDraft,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Answer<Rendered>, Refusal> {
        let id: OrgId = self.world.id();
        let now = context.call.at;
        let answer = self
            .change_once(context, None, render, move |tx, caller| {
                let Caller::Partner(held) = caller else {
                    return Err(Error::NotPermitted("orgs are created with a partner key"));
                };
                let (key, partner) = (maker(tx, held, now)?, &held.partner);
                permit_key_org_plan(&key, &draft.plan)?;
                check_quotas(tx, &key, partner)?;
                if tx.slugs_claim(&[claim(&draft, id, partner, now)])? != [true] {
                    return Err(Error::SlugTaken);
                }
                let org = new_org(id, &key, &draft, now);
                tx.orgs_insert(&[unheld(&org)])?;
                Ok(done(org, &draft))
            })
            .await?;
        self.due.notify_one();
        Ok(answer)
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
    active(&key, now)?;
    Ok(key)
}

fn check_quotas<T: Transaction>(
    tx: &mut T,
    key: &PartnerKey,
    partner: &Partner,
) -> Result<(), Error> {
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
    Ok(())
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

/// Takes orgs on record in one transaction, and hands over as many as there are places for.
async fn create_all<D: Database>(
    db: D,
    all: Vec<Creation>,
    workshop: Arc<Workshop>,
    (hold, mut places): (Hold, Vec<Place>),
) -> Vec<Result<Created, StoreError>> {
    let all: Arc<[Creation]> = all.into();
    let (asked, room) = (Arc::clone(&all), places.len());
    let write = db.write(move |tx| create_together(tx, &asked, (hold.lease, room)));
    match write.await {
        Ok((mut created, handed)) => {
            for (work, place) in handed.into_iter().zip(places.drain(..)) {
                workshop.hand_over(work, hold, place);
            }
            created.drain(..).map(Ok).collect()
        }
        Err(error) if all.len() > 1 && !error.is_temporary() => {
            // One of them is to blame; the others have done nothing wrong.
            all.iter().map(|_| Ok(Created::Alone)).collect()
        }
        Err(error) => all.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// What has become of each, and the orgs that are held for the worker of this process: as many as it
/// has room for.
fn create_together<T: Transaction>(
    tx: &mut T,
    all: &[Creation],
    (lease, room): (Lease, usize),
) -> Result<(Vec<Created>, Vec<OrgWork>), StoreError> {
    let keys = makers(tx, all)?;
    let mut claims = Vec::with_capacity(all.len());
    let permitted: Vec<Permitted> = all
        .iter()
        .map(|one| {
            let permitted = permit(one, &keys);
            if let Permitted::Yes(caller) = &permitted {
                claims.push(one.claim(&caller.partner));
            }
            permitted
        })
        .collect();
    let mut claimed = tx.slugs_claim(&claims)?.into_iter();
    let mut new = Vec::with_capacity(claims.len());
    let mut created = Vec::with_capacity(all.len());
    for (one, permitted) in all.iter().zip(permitted) {
        let refused = match permitted {
            Permitted::Yes(caller) if claimed.next() == Some(true) => {
                let org = new_org(one.id, &caller.key, &one.draft, one.context.call.at);
                let handed_over = new.len() < room;
                new.push(if handed_over {
                    held(&org, lease)
                } else {
                    unheld(&org)
                });
                let done = done(org, &one.draft);
                tx.event_insert(&done_event(&one.context, one.event, &done))?;
                created.push(Created::Done(Box::new(done), handed_over));
                continue;
            }
            Permitted::Yes(_) => Error::SlugTaken,
            Permitted::Alone => {
                created.push(Created::Alone);
                continue;
            }
            Permitted::No(error) => error,
        };
        tx.event_insert(&refused_event(&one.context, one.event, refused.code()))?;
        created.push(Created::Refused(refused));
    }
    tx.orgs_insert(&new)?;
    note_uses(tx, all)?;
    let handed = new.into_iter().take(room);
    let work = |NewOrg { org, steps, .. }| OrgWork { org, steps };
    Ok((created, handed.map(work).collect()))
}

/// Notes at the keys that they have been used, in the order in which they were taken.
fn note_uses<T: Transaction>(tx: &mut T, all: &[Creation]) -> Result<(), StoreError> {
    let used: BTreeMap<KeyId, OffsetDateTime> = all
        .iter()
        .filter_map(|one| Some((one.context.used()?, one.context.call.at)))
        .collect();
    used.into_iter()
        .try_for_each(|(key, at)| tx.key_touch(key, at))
}

/// Whether a creation may go on, as the credential stands within the transaction.
enum Permitted {
    Yes(Arc<HeldKey>),
    No(Error),
    Alone,
}

/// The keys that orgs are made with, held until the transaction ends: whoever revokes one meanwhile
/// waits, and then sees the orgs.
fn makers<T: Transaction>(
    tx: &mut T,
    all: &[Creation],
) -> Result<HashMap<KeyId, Arc<HeldKey>>, StoreError> {
    let ids: BTreeSet<KeyId> = all
        .iter()
        .filter_map(|one| match &one.context.caller {
            Caller::Partner(held) => Some(held.key.id),
            Caller::Admin(_) => None,
        })
        .collect();
    let held = tx.keys_for_use(&Vec::from_iter(ids))?;
    Ok(held.into_iter().map(|held| (held.key.id, held)).collect())
}

fn permit(one: &Creation, keys: &HashMap<KeyId, Arc<HeldKey>>) -> Permitted {
    let Caller::Partner(known) = &one.context.caller else {
        return Permitted::Alone;
    };
    let Some(held) = keys.get(&known.key.id) else {
        return Permitted::No(Error::InvalidKey);
    };
    match partner_caller(Arc::clone(held), &one.context) {
        // It is counted since a moment ago.
        Ok(_) if is_counted(held) => Permitted::Alone,
        Ok(Caller::Partner(held)) => match permit_key_org_plan(&held.key, &one.draft.plan) {
            Ok(()) => Permitted::Yes(held),
            Err(error) => Permitted::No(error),
        },
        Ok(Caller::Admin(_)) => Permitted::Alone,
        Err(error) => Permitted::No(error),
    }
}
