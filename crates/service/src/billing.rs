//! The billing state of an org.

use api::BillingRequest;
use ids::OrgId;
use orgs::{Org, OrgStatus, Subscription};
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};

use crate::{
    Audited, Context, Error, OrgConflict, Rejection, Service, audited::Auditable, orgs::visibility,
};

/// Every org has a subscription from its first moment.
const NO_SUBSCRIPTION: StoreError = StoreError::Corrupt {
    what: "the subscription",
};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Reads an org's billing state.
    ///
    /// # Errors
    /// When the caller can't see the org.
    pub async fn billing_read(
        &self,
        context: &Context,
        id: OrgId,
    ) -> Result<Audited<(Org, Subscription)>, Rejection> {
        let visibility = visibility(&context.caller);
        self.audited_read(context, move |view| {
            let org = view.org(visibility, id)?.ok_or(Error::NotFound)?;
            let subscription = view.subscription(id)?.ok_or(NO_SUBSCRIPTION)?;
            Ok(Auditable::new(200, (org, subscription)))
        })
        .await
    }

    /// Sets an org's billing state, as the operator's billing system has it.
    ///
    /// # Errors
    /// When there is no such org, a value does not fit, or another plan is asked for while the org is updating.
    pub async fn billing_update(
        &self,
        context: &Context,
        id: OrgId,
        request: BillingRequest,
    ) -> Result<Audited<(Org, Subscription)>, Rejection> {
        let BillingRequest { draft, at } = request;
        if let Some(error) = draft.plan.as_ref().and_then(|plan| self.unknown_plan(plan)) {
            return Err(self.reject(context, Error::Validation(vec![error])).await);
        }
        let now = context.request.at;
        self.audited_write(context, move |tx, caller| {
            let mut org = tx
                .org_for_update(visibility(caller), id)?
                .ok_or(Error::NotFound)?;
            let before = tx.subscription(id)?.ok_or(NO_SUBSCRIPTION)?;
            let after = draft
                .applied_to(&before)
                .map_err(|error| Error::at(&format!("{at}/{}", error.member()), error))?;
            if let Some(plan) = &draft.plan
                && *plan != org.plan
            {
                // Its provisioner is about to set another one.
                if org.status == OrgStatus::Updating {
                    return Err(OrgConflict::NotReady(org.status).into());
                }
                org.plan.clone_from(plan);
                org.updated_at = now;
            }
            tx.subscription_put(&org, &after)?;
            let (plan, status) = (org.plan.to_string(), after.status.as_str());
            Ok(Auditable::new(200, (org, after))
                .detail("status", status)
                .detail("plan", plan))
        })
        .await
    }
}
