//! Creations that come at the same time, in one transaction.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ids::KeyId;
use keys::HeldKey;
use orgs::{Lease, NewOrg, OrgWork};
use stores::{Database, StoreError, Transaction};

use super::{Created, Creation, done, held, new_org, quotas::Quotas, unheld};
use crate::{
    Caller, Error,
    audited::{done_event, partner_caller, rejected_event},
    authorize::permit_key_org_plan,
    provisioning_slots::{Permit, ProvisioningSlots},
    reconcile::Hold,
};

/// Takes orgs on record in one transaction, and hands those over for which a slot is reserved.
pub(super) async fn create_all<D: Database>(
    db: D,
    all: Vec<Creation>,
    slots: Arc<ProvisioningSlots>,
    (hold, mut permits): (Hold, Vec<Option<Permit>>),
) -> Vec<Result<Created, StoreError>> {
    let all: Arc<[Creation]> = all.into();
    let asked = Arc::clone(&all);
    let reserved: Vec<bool> = permits.iter().map(Option::is_some).collect();
    let write = db.write(move |tx| create_together(tx, &asked, (hold.lease, &reserved)));
    match write.await {
        Ok((mut created, handed)) => {
            for (place, work) in handed {
                if let Some(permit) = permits.get_mut(place).and_then(Option::take) {
                    slots.hand_over(work, hold, permit);
                }
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

/// Orgs that are leased for the worker of this process, each with its place among the creations.
type Handed = Vec<(usize, OrgWork)>;

/// What has become of each, and the orgs that are leased for the worker of this process, each with its
/// place among all: those for which a slot is reserved.
fn create_together<T: Transaction>(
    tx: &mut T,
    all: &[Creation],
    (lease, reserved): (Lease, &[bool]),
) -> Result<(Vec<Created>, Handed), StoreError> {
    let counted = all.iter().filter_map(known).collect();
    Quotas::lock(tx, &counted)?;
    let keys = creators(tx, all)?;
    let mut quotas = Quotas::count(tx, counted)?;
    let mut claims = Vec::with_capacity(all.len());
    let permitted: Vec<Permitted> = all
        .iter()
        .map(|one| {
            let permitted = permit(one, &keys, &mut quotas);
            if let Permitted::Yes(caller) = &permitted {
                claims.push(one.claim(&caller.partner));
            }
            permitted
        })
        .collect();
    let mut claimed = tx.slugs_claim(&claims)?.into_iter();
    let mut new = Vec::with_capacity(claims.len());
    let mut created = Vec::with_capacity(all.len());
    let mut handed = Vec::new();
    for (place, (one, permitted)) in all.iter().zip(permitted).enumerate() {
        let refused = match permitted {
            Permitted::Yes(caller) if claimed.next() == Some(true) => {
                let org = new_org(one.id, &caller.key, &one.draft, one.context.call.at);
                let handed_over = reserved.get(place) == Some(&true);
                new.push(if handed_over {
                    let new = held(&org, lease);
                    handed.push((place, work(&new)));
                    new
                } else {
                    unheld(&org)
                });
                let done = done(org, &one.draft);
                let event = done_event(&one.context, one.event, &done);
                let receipt = tx.event_insert(&event)?;
                created.push(Created::Done(Box::new(done), handed_over, receipt));
                continue;
            }
            Permitted::Yes(caller) => {
                quotas.give_back(&caller);
                Error::SlugTaken
            }
            // A place that was taken before it is free again: its slug was not to be had.
            Permitted::Full(caller, _) if quotas.check(&caller).is_ok() => {
                created.push(Created::Alone);
                continue;
            }
            Permitted::Alone => {
                created.push(Created::Alone);
                continue;
            }
            Permitted::Full(_, error) | Permitted::No(error) => error,
        };
        let event = rejected_event(&one.context, one.event, refused.code());
        let receipt = tx.event_insert(&event)?;
        created.push(Created::Refused(refused, receipt));
    }
    tx.orgs_insert(&new)?;
    Ok((created, handed))
}

fn work(new: &NewOrg) -> OrgWork {
    OrgWork {
        org: new.org.clone(),
        steps: new.steps.clone(),
    }
}

/// Whether a creation may go on, as the credential stands within the transaction.
enum Permitted {
    Yes(Arc<HeldKey>),
    /// There are as many orgs as there may be, those that go before in this transaction among them.
    Full(Arc<HeldKey>, Error),
    No(Error),
    Alone,
}

/// The key of a creation as it was known before the transaction.
fn known(one: &Creation) -> Option<&HeldKey> {
    match &one.context.caller {
        Caller::Partner(held) => Some(held),
        Caller::Admin(_) => None,
    }
}

/// The keys that orgs are created with, in use until the transaction ends.
fn creators<T: Transaction>(
    tx: &mut T,
    all: &[Creation],
) -> Result<HashMap<KeyId, Arc<HeldKey>>, StoreError> {
    let ids: BTreeSet<KeyId> = all
        .iter()
        .filter_map(known)
        .map(|held| held.key.id)
        .collect();
    let held = tx.keys_for_use(&Vec::from_iter(ids))?;
    Ok(held.into_iter().map(|held| (held.key.id, held)).collect())
}

fn permit(one: &Creation, keys: &HashMap<KeyId, Arc<HeldKey>>, quotas: &mut Quotas) -> Permitted {
    let Some(known) = known(one) else {
        return Permitted::Alone;
    };
    let Some(held) = keys.get(&known.key.id) else {
        return Permitted::No(Error::InvalidKey);
    };
    let permitted = partner_caller(Arc::clone(held), &one.context)
        .and_then(|_| permit_key_org_plan(&held.key, &one.draft.plan));
    match permitted {
        Err(error) => Permitted::No(error),
        // It is counted since a moment ago.
        Ok(()) if !quotas.cover(held) => Permitted::Alone,
        Ok(()) => match quotas.take(held) {
            Ok(()) => Permitted::Yes(Arc::clone(held)),
            Err(error) => Permitted::Full(Arc::clone(held), error),
        },
    }
}
