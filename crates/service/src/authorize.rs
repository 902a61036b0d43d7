//! Authorization: whether a credential may ask for an operation. What it may see is for the use case to
//! decide.

use audit::Action;
use ids::PlanName;
use keys::{AdminKey, AdminRole, KeyStatus, UsedSecret};
use ratelimit::Limiter;
use stores::Database;
use time::OffsetDateTime;

use crate::{Access, Caller, Context, Error, Rejection, RequestInfo, Service};

/// Where the routes for admin keys are.
const ADMIN_ROUTES: &str = "/cp/admin/";

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Whether the caller may ask for this, as far as it is known without the request's body.
    ///
    /// A write checks the same again within its transaction.
    ///
    /// # Errors
    /// When it may not; the rejection is recorded.
    pub async fn authorize(&self, context: &Context) -> Result<(), Rejection> {
        match authorize(&context.caller, &context.request) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.reject(context, error).await),
        }
    }
}

/// Whether a credential can be used at this time, by this secret of it.
pub(crate) fn check_usable(
    caller: &Caller,
    secret: Option<&UsedSecret>,
    at: OffsetDateTime,
) -> Result<(), Error> {
    match caller {
        Caller::Admin(key) => usable(key.status(at)),
        Caller::Partner(held) => {
            usable(held.key.status(at))?;
            if secret.is_some_and(|secret| held.key.has_ended(secret, at)) {
                return Err(Error::SecretEnded);
            }
            Ok(())
        }
    }
}

const fn usable(status: KeyStatus) -> Result<(), Error> {
    match status {
        KeyStatus::Active => Ok(()),
        KeyStatus::Disabled => Err(Error::KeyDisabled),
        KeyStatus::Expired => Err(Error::KeyExpired),
        KeyStatus::Revoked => Err(Error::KeyRevoked),
    }
}

/// Whether an admin key may ask for an operation that is open to admin keys, or to every credential.
fn authorize_admin(key: &AdminKey, request: &RequestInfo) -> Result<(), Error> {
    if !key.allows_address(request.client.ip) {
        return Err(Error::IpNotAllowed(request.client.ip));
    }
    let operation = request.operation;
    if let Access::Partner(_) = operation.access {
        return Err(Error::NotPermitted(
            "this route is for partner keys; use one of them",
        ));
    }
    // By the method, so that a new route is open to auditors only as far as it reads.
    let reads = matches!(request.method, "GET" | "HEAD") && request.route.starts_with(ADMIN_ROUTES);
    match key.role {
        AdminRole::Operator => Ok(()),
        AdminRole::Auditor if reads || operation.action == Action::Whoami => Ok(()),
        AdminRole::Auditor => Err(Error::NotPermitted(
            "an admin key with the role auditor reads what is under /cp/admin, and nothing else; use one \
             with the role operator",
        )),
    }
}

/// Whether the caller can be used, and may ask for this operation from this address.
pub(crate) fn authorize(caller: &Caller, request: &RequestInfo) -> Result<(), Error> {
    check_usable(caller, request.secret.as_ref(), request.at)?;
    let operation = request.operation;
    let held = match caller {
        Caller::Admin(key) => return authorize_admin(key, request),
        Caller::Partner(held) => held,
    };
    if !held.key.allows_address(request.client.ip) {
        return Err(Error::IpNotAllowed(request.client.ip));
    }
    let own_revocation = operation.action == Action::KeyRevoke
        && request.subject.as_deref() == Some(held.key.id.to_string().as_str());
    if !held.partner.plan.includes_keys() && !own_revocation {
        return Err(Error::PartnerPlanRequired);
    }
    match operation.access {
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

/// Whether the caller may create, change or delete an org of this plan: a key with `org_plans` is limited to
/// those.
pub(crate) fn check_org_plan(caller: &Caller, plan: &PlanName) -> Result<(), Error> {
    match caller {
        Caller::Partner(held) if !held.key.allows_org_plan(plan) => Err(Error::OrgPlanNotAllowed {
            plan: plan.clone(),
            allowed: held.key.org_plans.clone().unwrap_or_default(),
        }),
        Caller::Partner(_) | Caller::Admin(_) => Ok(()),
    }
}
