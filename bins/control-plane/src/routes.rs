//! Every route of the server.

use std::sync::Arc;

use actix_web::http::Method;
use api::{
    ErrorCode,
    openapi::{self, Described, Who},
};
use matchit::InsertError;
use service::{Access, Operation, operations as op};

use crate::{
    handlers::{
        audit_events, billing, guide, health, instances, keys, leaks, openapi as document, orgs,
        partners, plans, problems,
        reference::{self, Published},
        secrets, token, trust_rules, webhooks, whoami, workspaces,
    },
    http::{
        Endpoint, Paced, Router, anonymous, authenticated, fallback, for_browsers, not_found,
        public,
    },
};

/// One route that asks for a credential, as the inventory lists it.
struct Listed {
    method: openapi::Method,
    path: &'static str,
    operation: Operation,
    /// Its description; a line of the table without one does not compile.
    description: &'static openapi::Operation,
}

macro_rules! routes {
    ($($path:literal { $($method:ident $operation:ident $module:ident :: $handler:ident;)+ })+) => {
        const LISTED: &[Listed] = &[$($(
            Listed {
                method: openapi::Method::$method,
                path: $path,
                operation: op::$operation,
                description: &$module::$operation,
            },
        )+)+];

        fn guarded(router: &mut Router) -> Result<(), InsertError> {
            $(router.resource(
                $path,
                $path,
                vec![$((Method::$method, authenticated(op::$operation, $module::$handler))),+],
                not_found(allowed(&[$(stringify!($method)),+])),
            )?;)+
            Ok(())
        }
    };
}

routes! {
    "/cp/admin/partners" {
        POST PARTNER_CREATE partners::create;
        GET PARTNER_LIST partners::list;
    }
    "/cp/admin/partners/{id}" {
        GET PARTNER_READ partners::read;
        PATCH PARTNER_UPDATE partners::update;
    }
    "/cp/admin/partner-keys" {
        POST KEY_CREATE keys::create;
        GET KEY_LIST keys::list;
    }
    "/cp/admin/partner-keys/{id}" {
        GET KEY_READ keys::read;
        PATCH KEY_UPDATE keys::update;
        DELETE KEY_REVOKE keys::revoke;
    }
    "/cp/admin/partner-keys/{id}/rotate" {
        POST KEY_ROTATE keys::rotate;
    }
    "/cp/admin/partner-keys/{id}/rotate/finish" {
        POST KEY_ROTATE_FINISH keys::finish_rotation;
    }
    "/cp/admin/partner-keys/{id}/rotate/cancel" {
        POST KEY_ROTATE_CANCEL keys::cancel_rotation;
    }
    "/cp/admin/trust-rules" {
        POST TRUST_RULE_CREATE trust_rules::create;
        GET TRUST_RULE_LIST trust_rules::list;
    }
    "/cp/admin/trust-rules/{id}" {
        GET TRUST_RULE_READ trust_rules::read;
        PATCH TRUST_RULE_UPDATE trust_rules::update;
        DELETE TRUST_RULE_DELETE trust_rules::delete;
    }
    "/cp/admin/orgs" {
        GET ADMIN_ORG_LIST orgs::list;
    }
    "/cp/admin/orgs/{id}" {
        GET ADMIN_ORG_READ orgs::read;
    }
    "/cp/admin/orgs/{id}/subscription" {
        PUT BILLING_UPDATE billing::update;
    }
    "/cp/admin/orgs/{id}/suspend" {
        POST ORG_SUSPEND orgs::suspend;
    }
    "/cp/admin/orgs/{id}/resume" {
        POST ORG_RESUME orgs::resume;
    }
    "/cp/admin/orgs/{id}/retry" {
        POST ORG_RETRY orgs::retry;
    }
    "/cp/admin/audit-events" {
        GET ADMIN_AUDIT_LIST audit_events::list;
    }
    "/cp/admin/audit-events/{id}" {
        GET ADMIN_AUDIT_READ audit_events::read;
    }
    "/cp/admin/instances" {
        GET INSTANCE_LIST instances::list;
    }
    "/cp/orgs" {
        POST ORG_CREATE orgs::create;
        GET ORG_LIST orgs::list;
        DELETE ORGS_DELETE orgs::delete_labelled;
    }
    "/cp/orgs/{id}" {
        GET ORG_READ orgs::read;
        PATCH ORG_UPDATE orgs::update;
        DELETE ORG_DELETE orgs::delete;
    }
    "/cp/orgs/{id}/status" {
        GET ORG_STATUS orgs::status;
    }
    "/cp/orgs/{id}/renew" {
        POST ORG_RENEW orgs::renew;
    }
    "/cp/orgs/{id}/secrets" {
        GET ORG_SECRETS_READ secrets::read;
    }
    "/cp/orgs/{id}/rotate-secrets" {
        POST ORG_SECRETS_ROTATE secrets::rotate;
    }
    "/cp/orgs/{id}/workspaces" {
        POST WORKSPACE_CREATE workspaces::create;
        GET WORKSPACE_LIST workspaces::list;
    }
    "/cp/orgs/{id}/billing" {
        GET BILLING_READ billing::read;
    }
    "/cp/plans" {
        GET PLAN_LIST plans::list;
    }
    "/cp/audit-events" {
        GET AUDIT_LIST audit_events::list;
    }
    "/cp/audit-events/{id}" {
        GET AUDIT_READ audit_events::read;
    }
    "/cp/webhook-endpoints" {
        POST WEBHOOK_CREATE webhooks::create;
        GET WEBHOOK_LIST webhooks::list;
    }
    "/cp/webhook-endpoints/{id}" {
        GET WEBHOOK_READ webhooks::read;
        PATCH WEBHOOK_UPDATE webhooks::update;
        DELETE WEBHOOK_DELETE webhooks::delete;
    }
    "/cp/webhook-endpoints/{id}/rotate-secret" {
        POST WEBHOOK_ROTATE webhooks::rotate;
    }
    "/cp/webhook-endpoints/{id}/test" {
        POST WEBHOOK_TEST webhooks::test;
    }
    "/cp/webhook-endpoints/{id}/deliveries" {
        GET DELIVERY_LIST webhooks::deliveries;
    }
    "/cp/webhook-endpoints/{id}/redeliver" {
        POST DELIVERIES_REDELIVER webhooks::redeliver_failed;
    }
    "/cp/webhook-endpoints/{id}/deliveries/{delivery}/redeliver" {
        POST DELIVERY_REDELIVER webhooks::redeliver;
    }
    "/cp/whoami" {
        GET WHOAMI whoami::read;
    }
}

/// Routes that ask for no credential. Where there is `GET` there is `HEAD`.
const OPEN: &[(openapi::Method, &str, &openapi::Operation)] = {
    use openapi::Method::{Get, Post};
    &[
        (Get, "/healthz", &health::HEALTHZ),
        (Get, "/readyz", &health::READYZ),
        (Get, "/metrics", &health::METRICS),
        (Get, "/cp/openapi.json", &document::OPENAPI),
        (Get, "/cp/docs", &reference::REFERENCE),
        (Get, "/cp/guide", &guide::GUIDE),
        (Get, "/problems/{code}", &problems::PROBLEM_READ),
        (Post, LEAKS, &leaks::LEAK_REPORT),
        (Post, LEAKS_GITHUB, &leaks::LEAK_REPORT_GITHUB),
    ]
};

const LEAKS: &str = "/cp/leaks";
const LEAKS_GITHUB: &str = "/cp/leaks/github";

/// Operations that need no credential and leave events all the same.
const ANONYMOUS: &[Listed] = &[Listed {
    method: openapi::Method::Post,
    path: "/cp/token",
    operation: op::TOKEN_EXCHANGE,
    description: &token::TOKEN_EXCHANGE,
}];

/// The methods that a path has: HEAD goes where GET goes.
fn allowed(listed: &[&'static str]) -> Vec<&'static str> {
    let mut allowed = listed.to_vec();
    if listed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed
}

/// All routes in place.
///
/// # Errors
/// When two of them can't be told apart.
pub fn router(published: &Arc<Published>) -> Result<Router, InsertError> {
    // Whatever else is under /cp is first of all the question who asks.
    let mut router = Router::new(("/cp", not_found(Vec::new())), fallback(Vec::new()));
    guarded(&mut router)?;
    let exchange = anonymous(Paced::Errors, token::exchange);
    let exchange = vec![(Method::POST, exchange)];
    let other = fallback(allowed(&["POST"]));
    router.resource("/cp/token", "/cp/token", exchange, other)?;
    // No part of the API, so the description leaves it out.
    let front = for_browsers(reference::front(published), fallback(Vec::new()));
    router.resource("/", "/", vec![(Method::GET, front)], fallback(Vec::new()))?;
    for (path, endpoint) in [
        (LEAKS, anonymous(Paced::All, leaks::report)),
        (
            LEAKS_GITHUB,
            anonymous(Paced::All, leaks::report_from_github),
        ),
    ] {
        let methods = vec![(Method::POST, endpoint)];
        router.resource(path, path, methods, fallback(allowed(&["POST"])))?;
    }
    let mut serve = |path: &str, pattern, endpoint: Endpoint| {
        let methods = vec![(Method::GET, endpoint)];
        router.resource(path, pattern, methods, fallback(allowed(&["GET"])))
    };
    let mut plain = |path: &'static str, endpoint| serve(path, path, endpoint);
    plain("/healthz", public(health::alive))?;
    plain("/readyz", public(health::ready))?;
    plain("/metrics", public(health::metrics))?;
    // Under /cp, and open all the same: these stand before the question who asks.
    plain("/cp/openapi.json", public(document::read(published)))?;
    plain("/cp/docs", public(reference::read(published)))?;
    plain("/cp/guide", public(guide::read(published)))?;
    for &code in ErrorCode::ALL {
        let endpoint = public(problems::read(published, code));
        serve(&format!("/problems/{code}"), "/problems/{code}", endpoint)?;
    }
    Ok(router)
}

/// Every call of the API with its description.
pub fn described() -> Vec<Described> {
    let guarded = LISTED.iter().map(|row| Described {
        method: row.method,
        path: row.path,
        who: who(row.operation.access),
        action: Some(row.operation.action.as_str()),
        operation: row.description,
    });
    let open = OPEN.iter().map(|&(method, path, operation)| Described {
        method,
        path,
        who: Who::Anyone,
        action: None,
        operation,
    });
    let anonymous = ANONYMOUS.iter().map(|row| Described {
        method: row.method,
        path: row.path,
        who: Who::Anyone,
        action: Some(row.operation.action.as_str()),
        operation: row.description,
    });
    guarded.chain(anonymous).chain(open).collect()
}

fn who(access: Access) -> Who {
    match access {
        Access::Admin => Who::Admin,
        Access::Partner(scopes) => Who::Partner(scopes),
        Access::Any => Who::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_listed_twice() {
        let mut seen: Vec<_> = LISTED
            .iter()
            .map(|row| (row.path, row.method.as_str()))
            .collect();
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    #[test]
    fn admin_paths_are_for_admins_or_for_keys_about_themselves() {
        for row in LISTED
            .iter()
            .filter(|row| row.path.starts_with("/cp/admin/"))
        {
            let keys = row.path.starts_with("/cp/admin/partner-keys");
            assert!(
                row.operation.access == Access::Admin || keys,
                "{}",
                row.path
            );
        }
    }
}
