//! Whether a credential may ask for an operation at all; what it may see is for the use case to say.

use audit::Action;
use ids::PlanName;
use keys::PartnerKey;
use ratelimit::Limiter;
use stores::Database;

use crate::{Access, Caller, Context, Error, Rejection, RequestInfo, Service};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Whether the caller may ask for this, as far as it is known without the request's body.
    ///
    /// A change asks the same again within its transaction.
    ///
    /// # Errors
    /// When it may not; the refusal is on record.
    pub async fn authorize(&self, context: &Context) -> Result<(), Rejection> {
        match permit(&context.caller, &context.call) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.reject(context, error).await),
        }
    }
}

/// Whether the caller may change or delete an org of this plan: a key with `org_plans` is held to those.
pub(crate) fn permit_org_plan(caller: &Caller, plan: &PlanName) -> Result<(), Error> {
    match caller {
        Caller::Partner(held) => permit_key_org_plan(&held.key, plan),
        Caller::Admin(_) => Ok(()),
    }
}

/// The same for a key.
pub(crate) fn permit_key_org_plan(key: &PartnerKey, plan: &PlanName) -> Result<(), Error> {
    if key.allows_org_plan(plan) {
        return Ok(());
    }
    Err(Error::OrgPlanNotAllowed {
        plan: plan.clone(),
        allowed: key.org_plans.clone().unwrap_or_default(),
    })
}

/// The same as a plain question.
pub(crate) fn permit(caller: &Caller, call: &RequestInfo) -> Result<(), Error> {
    let operation = call.operation;
    match (caller, operation.access) {
        (Caller::Admin(_), Access::Admin | Access::Any) => Ok(()),
        (Caller::Admin(_), Access::Partner(_)) => Err(Error::NotPermitted(
            "this route is for partner keys; use one of them",
        )),
        (Caller::Partner(held), access) => {
            if !held.key.allows_address(call.client.ip) {
                return Err(Error::IpNotAllowed(call.client.ip));
            }
            let own_revocation = operation.action == Action::KeyRevoke
                && call.subject.as_deref() == Some(held.key.id.to_string().as_str());
            if !held.partner.plan.includes_keys() && !own_revocation {
                return Err(Error::PartnerPlanRequired);
            }
            match access {
                Access::Admin => Err(Error::NotPermitted("this route is for admin keys")),
                Access::Any => Ok(()),
                Access::Partner(scopes) => {
                    if !scopes.iter().any(|&scope| held.key.scopes.contains(scope)) {
                        return Err(Error::InsufficientScope(scopes));
                    }
                    if operation.action == Action::OrgCreate && held.key.org_id.is_some() {
                        return Err(Error::NotPermitted(
                            "this key acts within one org and can't create others",
                        ));
                    }
                    Ok(())
                }
            }
        }
    }
}
