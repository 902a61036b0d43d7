//! Deleting orgs by label, and renewing the lease of one that expires by itself.

use ids::OrgId;
use keys::PartnerKey;
use orgs::{DeletionSelector, Org, OrgsDeletion, Transition, Ttl};
use ratelimit::Limiter;
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

use super::visibility;
use crate::{
    Audited, Caller, Context, Error, OrgConflict, Rejection, Rendered, Service, audited::Auditable,
    authorize::check_org_plan,
};

/// How many orgs one request deletes by label at the most.
const MAX_DELETED: usize = 1000;

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lets the lease of an org end this long after the request, or sooner where a key has a maximum.
    ///
    /// # Errors
    /// When there is none of this id that the caller can see, the key is limited to other plans, the org has
    /// no lease, or it is being deleted.
    pub async fn org_renew(
        &self,
        context: &Context,
        id: OrgId,
        ttl: Ttl,
        render: impl Fn(&Org) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let now = context.request.at;
        self.idempotent_write(context, None, render, move |tx, caller| {
            let mut org = tx
                .org_for_update(visibility(caller), id)?
                .ok_or(Error::NotFound)?;
            check_org_plan(caller, &org.plan)?;
            // No longer than the keys allow, the one that asks and the one that made the org.
            let maker = tx.key(org.created_by_key_id)?.map(|held| held.key);
            let asking = match caller {
                Caller::Partner(held) => Some(&held.key),
                Caller::Admin(_) => None,
            };
            let keys = maker.as_ref().into_iter().chain(asking);
            let ttl = keys.filter_map(max_ttl).fold(ttl, Ttl::min);
            org.renew(ttl, now).map_err(OrgConflict::from)?;
            tx.org_renew(id, ttl.end(now))?;
            let slug = org.slug.to_string();
            Ok(Auditable::new(200, org)
                .detail("slug", slug)
                .detail("ttl_seconds", ttl.seconds()))
        })
        .await
    }

    /// Begins to delete the orgs that have some labels, up to a thousand of them; those that are being deleted
    /// already are not among them. A dry run tells which they are.
    ///
    /// # Errors
    /// When one of them has a plan that the key is not allowed, or is protected from deletion: then none is
    /// deleted.
    pub async fn orgs_delete(
        &self,
        context: &Context,
        request: OrgsDeletion,
    ) -> Result<Audited<Vec<Org>>, Rejection> {
        let OrgsDeletion { labels, dry_run } = request;
        if dry_run {
            let selector = DeletionSelector::Labelled(visibility(&context.caller), labels.clone());
            let caller = context.caller.clone();
            return self
                .audited_list(context, move |view| {
                    let orgs = view.orgs_to_delete(&selector, MAX_DELETED)?;
                    check_org_plans(&caller, &orgs)?;
                    check_unprotected(&orgs)?;
                    Ok(auditable(200, &caller, &labels, orgs).detail("dry_run", true))
                })
                .await;
        }
        let now = context.request.at;
        let deleted = self
            .audited_write(context, move |tx, caller| {
                let selector = DeletionSelector::Labelled(visibility(caller), labels.clone());
                let mut orgs = tx.orgs_to_delete_for_update(&selector, MAX_DELETED)?;
                check_org_plans(caller, &orgs)?;
                check_unprotected(&orgs)?;
                begin_deprovision(tx, &mut orgs, now)?;
                Ok(auditable(202, caller, &labels, orgs))
            })
            .await?;
        for org in &deleted.value {
            self.statuses.invalidate(org.id);
        }
        self.due.notify_one();
        Ok(deleted)
    }
}

fn check_org_plans(caller: &Caller, orgs: &[Org]) -> Result<(), Error> {
    orgs.iter()
        .try_for_each(|org| check_org_plan(caller, &org.plan))
}

/// The longest lease of the orgs that a key makes.
pub(super) fn max_ttl(key: &PartnerKey) -> Option<Ttl> {
    Ttl::from_seconds(key.max_ttl_seconds?.into()).ok()
}

/// The lease that was asked for within a maximum, which counts where none was.
pub(super) fn within(asked: Option<Ttl>, max: Option<Ttl>) -> Option<Ttl> {
    asked.into_iter().chain(max).min()
}

/// Whether none of these orgs is protected from deletion.
pub(super) fn check_unprotected(orgs: &[Org]) -> Result<(), Error> {
    let protected: Vec<_> = orgs
        .iter()
        .filter(|org| org.delete_protection)
        .map(|org| (org.id, org.slug.clone()))
        .collect();
    if protected.is_empty() {
        Ok(())
    } else {
        Err(Error::OrgProtected(protected))
    }
}

/// Makes orgs due for deprovisioning, whose rows are locked.
pub(crate) fn begin_deprovision<T: Transaction>(
    tx: &mut T,
    orgs: &mut [Org],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for org in &mut *orgs {
        org.apply(Transition::Delete, now)
            .map_err(|_| StoreError::Corrupt { what: "the status" })?;
    }
    if !orgs.is_empty() {
        let ids: Vec<OrgId> = orgs.iter().map(|org| org.id).collect();
        tx.orgs_begin_deprovision(&ids, now)?;
    }
    Ok(())
}

/// The orgs of a deletion by label, and what their one event says.
fn auditable(
    status: u16,
    caller: &Caller,
    labels: &[(String, String)],
    orgs: Vec<Org>,
) -> Auditable<Vec<Org>> {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    let ids: Vec<String> = orgs.iter().map(|org| org.id.to_string()).collect();
    let auditable = Auditable::new(status, orgs)
        .detail("labels", labels)
        .detail("count", ids.len())
        .detail("orgs", ids);
    match caller {
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => auditable.in_org(org),
            None => auditable,
        },
        Caller::Admin(_) => auditable,
    }
}
