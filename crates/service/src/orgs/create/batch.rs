//! A batch of creations in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use audit::{Target, TargetKind};
use ids::KeyId;
use keys::{KeyWithPartner, PartnerKey};
use orgs::{Lease, NewOrg, Org, OrgStatus, Step, StepName, Subscription};
use stores::{Database, StoreError, Transaction};

use super::{
    super::delete::{max_ttl, within},
    CreateOrg, Created,
    quotas::Quotas,
};
use crate::{
    Caller, Env, Error,
    audited::{Auditable, insert_event},
    authorize::{authorize, check_org_plan},
    runtime::batcher::all_or_each,
    workers::reconcile::{AcquiredLease, slots::ProvisioningSlots},
};

/// Creates orgs, and hands those over to this process's reconciler for which it has a slot.
pub(super) async fn create_batch<D: Database>(
    db: D,
    env: Env,
    slots: Arc<ProvisioningSlots>,
    all: Vec<CreateOrg>,
) -> Vec<Result<Created, StoreError>> {
    let all: Arc<[CreateOrg]> = all.into();
    let transaction = |batch| create(db.clone(), &env, Arc::clone(&slots), batch);
    let results = all_or_each(Arc::clone(&all), transaction).await;
    let mut created = Vec::with_capacity(all.len());
    for (one, result) in all.iter().zip(results) {
        created.push(match result {
            Ok(Some(done)) => Ok(done),
            Ok(None) => transaction(Arc::new([one.clone()]))
                .await
                .and_then(|alone| {
                    alone
                        .into_iter()
                        .flatten()
                        .next()
                        .ok_or(StoreError::Panicked)
                }),
            Err(error) => Err(error),
        });
    }
    created
}

/// Runs one transaction; `None` stands for a creation that needs one of its own, see [`insert_all`].
async fn create<D: Database>(
    db: D,
    env: &Env,
    slots: Arc<ProvisioningSlots>,
    batch: Arc<[CreateOrg]>,
) -> Result<Vec<Option<Created>>, StoreError> {
    let permits = slots.reserve(batch.iter().map(CreateOrg::partner));
    let lease = AcquiredLease::new(env);
    let leases: Vec<Option<Lease>> = permits
        .iter()
        .map(|permit| permit.as_ref().map(|_| lease.lease))
        .collect();
    let write = db.write(move |tx| {
        let results = insert_all(tx, &batch, &leases)?;
        let mut created = Vec::with_capacity(batch.len());
        for (one, result) in batch.iter().zip(results) {
            let Some(result) = result else {
                created.push(None);
                continue;
            };
            let (receipt, result) = insert_event(tx, &one.context, one.event, result)?;
            created.push(Some(Created {
                receipt,
                result,
                is_handed_over: false,
            }));
        }
        Ok::<_, StoreError>(created)
    });
    let mut created = write.await?;
    for (created, permit) in created.iter_mut().zip(permits) {
        if let (Some(created), Some(permit)) = (created, permit)
            && let Ok(auditable) = &created.result
        {
            let (org, ..) = auditable.parts();
            slots.hand_over(org.clone(), lease, permit);
            created.is_handed_over = true;
        }
    }
    Ok(created)
}

/// A request that may be granted, with its place in the batch and its key as it is within the transaction.
struct Candidate<'a> {
    place: usize,
    create: &'a CreateOrg,
    held: Arc<KeyWithPartner>,
}

/// The result of a creation; `None` when it needs a transaction of its own.
type Inserted = Option<Result<Auditable<Org>, Error>>;

/// Inserts orgs, each with the lease in its place; the result of each. Events are left to the caller.
///
/// Of several creations, one whose key got a quota a moment ago needs a transaction of its own: its partner's row
/// can't be locked after others without a deadlock.
pub(super) fn insert_all<T: Transaction>(
    tx: &mut T,
    all: &[CreateOrg],
    leases: &[Option<Lease>],
) -> Result<Vec<Inserted>, StoreError> {
    let (keys, mut quotas) = lock_and_count(tx, all)?;
    let mut results = BTreeMap::new();
    let mut candidates = Vec::with_capacity(all.len());
    for (place, create) in all.iter().enumerate() {
        match authorized(create, &keys) {
            Ok(held) if quotas.cover(&held) => candidates.push(Candidate {
                place,
                create,
                held,
            }),
            Ok(_) => drop(results.insert(place, None)),
            Err(error) => drop(results.insert(place, Some(Err(error)))),
        }
    }
    let mut new = Vec::with_capacity(candidates.len());
    while !candidates.is_empty() {
        let (mut within, mut over) = (Vec::new(), Vec::new());
        for candidate in candidates {
            match quotas.take(&candidate.held) {
                Ok(()) => within.push(candidate),
                Err(error) => over.push((candidate, error)),
            }
        }
        let slugs: Vec<_> = within
            .iter()
            .map(|it| it.create.slug_request(&it.held.partner))
            .collect();
        let acquired = tx.slugs_acquire(&slugs)?;
        for (candidate, acquired) in within.into_iter().zip(acquired) {
            let Candidate {
                place,
                create,
                held,
            } = candidate;
            let result = if acquired {
                let org = new_org(create, &held.key);
                new.push(with_steps(&org, leases.get(place).copied().flatten()));
                Ok(auditable(org, create))
            } else {
                quotas.give_back(&held);
                Err(Error::SlugTaken)
            };
            results.insert(place, Some(result));
        }
        // A place under a quota is free again when the slug of the creation that took it was not available.
        candidates = Vec::new();
        for (candidate, error) in over {
            if quotas.check(&candidate.held).is_ok() {
                candidates.push(candidate);
            } else {
                results.insert(candidate.place, Some(Err(error)));
            }
        }
    }
    tx.orgs_insert(&new)?;
    Ok(results.into_values().collect())
}

/// The keys that orgs are created with, in use until the transaction ends, and the counts of their orgs.
fn lock_and_count<T: Transaction>(
    tx: &mut T,
    all: &[CreateOrg],
) -> Result<(HashMap<KeyId, Arc<KeyWithPartner>>, Quotas), StoreError> {
    let known = || all.iter().filter_map(known_key);
    let ids: BTreeSet<KeyId> = known().map(|held| held.key.id).collect();
    let ids = Vec::from_iter(ids);
    let mut counted = known().collect();
    loop {
        Quotas::lock(tx, &counted)?;
        let keys: HashMap<_, _> = tx
            .keys_for_use(&ids)?
            .into_iter()
            .map(|held| (held.key.id, held))
            .collect();
        let quotas = Quotas::count(tx, counted)?;
        if all.len() > 1 || keys.values().all(|held| quotas.cover(held)) {
            return Ok((keys, quotas));
        }
        // The quota was set a moment ago.
        counted = keys.values().map(Arc::as_ref).collect();
    }
}

/// The key of a creation as it was known before the transaction.
fn known_key(create: &CreateOrg) -> Option<&KeyWithPartner> {
    match &create.context.caller {
        Caller::Partner(held) => Some(held),
        Caller::Admin(_) => None,
    }
}

/// The key of a creation as it is within the transaction, if it may create this org.
fn authorized(
    create: &CreateOrg,
    keys: &HashMap<KeyId, Arc<KeyWithPartner>>,
) -> Result<Arc<KeyWithPartner>, Error> {
    let known =
        known_key(create).ok_or(Error::NotPermitted("orgs are created with a partner key"))?;
    let held = keys.get(&known.key.id).ok_or(Error::InvalidKey)?;
    let caller = Caller::Partner(Arc::clone(held));
    authorize(&caller, &create.context.request)?;
    check_org_plan(&caller, &create.draft.plan)?;
    if create.draft.delete_protection && max_ttl(&held.key).is_some() {
        let text = "every org of this key has a lease, and one with a lease can't be protected";
        return Err(Error::at("/delete_protection", text));
    }
    Ok(Arc::clone(held))
}

fn new_org(create: &CreateOrg, key: &PartnerKey) -> Org {
    let (draft, now) = (&create.draft, create.context.request.at);
    let ttl = within(draft.ttl, max_ttl(key));
    Org {
        id: create.id,
        partner_id: key.partner_id,
        created_by_key_id: key.id,
        name: draft.name.clone(),
        slug: draft.slug.clone(),
        plan: draft.plan.clone(),
        options: draft.options.clone(),
        change: None,
        status: OrgStatus::Provisioning,
        external_id: draft.external_id.clone(),
        labels: draft.labels.clone(),
        delete_protection: draft.delete_protection,
        created_at: now,
        updated_at: now,
        ready_at: None,
        expires_at: ttl.map(|ttl| ttl.end(now)),
        deleted_at: None,
        failure: None,
        outputs: BTreeMap::new(),
        secret_names: Vec::new(),
        attempts: 0,
    }
}

/// With a lease, its provisioning has begun; without one, it is for the first worker that finds it.
fn with_steps(org: &Org, lease: Option<Lease>) -> NewOrg {
    let mut steps = StepName::PROVISIONING_STEPS.map(Step::pending).to_vec();
    if let (Some(_), Some(first)) = (lease, steps.first_mut()) {
        first.begin(org.created_at);
    }
    NewOrg {
        org: org.clone(),
        steps,
        subscription: Some(Subscription::starting(org.created_at)),
        lease,
    }
}

fn auditable(org: Org, create: &CreateOrg) -> Auditable<Org> {
    let (id, draft) = (org.id, &create.draft);
    let lease = org.expires_at.map(|end| end - org.created_at);
    let auditable = Auditable::new(201, org)
        .target(Target::one(TargetKind::Org, id))
        .in_org(id)
        .detail("name", draft.name.as_str())
        .detail("slug", draft.slug.as_str())
        .detail("plan", draft.plan.as_str());
    match lease {
        Some(lease) => auditable.detail("ttl_seconds", lease.whole_seconds()),
        None => auditable,
    }
}
