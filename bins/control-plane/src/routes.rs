//! Every route of the server.

use actix_web::{
    http::Method,
    web::{self, ServiceConfig},
};
use service::{Access, Operation, operations as op};

use crate::{
    handlers::{audit_events, billing, health, keys, orgs, partners, whoami, workspaces},
    http::{entry, open, outside, unrouted},
};

/// One route that asks for a credential, as the inventory lists it.
struct Listed {
    method: &'static str,
    path: &'static str,
    operation: Operation,
}

macro_rules! routes {
    ($($path:literal { $($method:ident $operation:ident $handler:path;)+ })+) => {
        const LISTED: &[Listed] = &[$($(
            Listed { method: stringify!($method), path: $path, operation: op::$operation },
        )+)+];

        fn guarded(config: &mut ServiceConfig) {
            $(config.service(
                web::resource($path)
                    $(.route(entry(Method::$method, op::$operation, $handler)))+
                    .default_service(unrouted(&[$(stringify!($method)),+])),
            );)+
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
    "/cp/orgs" {
        POST ORG_CREATE orgs::create;
        GET ORG_LIST orgs::list;
    }
    "/cp/orgs/{id}" {
        GET ORG_READ orgs::read;
        DELETE ORG_DELETE orgs::delete;
    }
    "/cp/orgs/{id}/status" {
        GET ORG_STATUS orgs::status;
    }
    "/cp/orgs/{id}/workspaces" {
        POST WORKSPACE_CREATE workspaces::create;
        GET WORKSPACE_LIST workspaces::list;
    }
    "/cp/orgs/{id}/billing" {
        GET BILLING_READ billing::read;
    }
    "/cp/audit-events" {
        GET AUDIT_LIST audit_events::list;
    }
    "/cp/whoami" {
        GET WHOAMI whoami::read;
    }
}

/// Routes that ask for no credential.
const OPEN: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// Puts all routes in place.
pub fn configure(config: &mut ServiceConfig) {
    guarded(config);
    // Whatever else is under /cp is first of all the question who asks.
    config.service(web::resource(["/cp", "/cp/{rest:.*}"]).default_service(unrouted(&[])));
    let open_at = |path: &str| web::resource(path).default_service(outside(&["GET", "HEAD"]));
    config.service(
        open_at("/healthz")
            .route(open(Method::GET, health::alive))
            .route(open(Method::HEAD, health::alive)),
    );
    config.service(
        open_at("/readyz")
            .route(open(Method::GET, health::ready))
            .route(open(Method::HEAD, health::ready)),
    );
    config.service(
        open_at("/metrics")
            .route(open(Method::GET, health::metrics))
            .route(open(Method::HEAD, health::metrics)),
    );
    config.default_service(outside(&[]));
}

/// The routes as text, one a line, or as a page for readers of the documentation.
pub fn inventory(markdown: bool) -> String {
    let mut text = String::new();
    if markdown {
        text += "# Routes\n\nMade from the server's own table by `cargo xtask generate`; do not edit.\n\n\
                 | method | path | who | audit action |\n|---|---|---|---|\n";
    }
    for Listed {
        method,
        path,
        operation,
    } in LISTED
    {
        let (who, action) = (who(operation.access), operation.action);
        text += &if markdown {
            format!("| `{method}` | `{path}` | {who} | `{action}` |\n")
        } else {
            format!("{method:6} {path:35} {who}\n")
        };
    }
    for path in OPEN {
        text += &if markdown {
            format!("| `GET` | `{path}` | anyone | not audited |\n")
        } else {
            format!("{:6} {path:35} anyone\n", "GET")
        };
    }
    text
}

fn who(access: Access) -> String {
    match access {
        Access::Admin => "admin".to_owned(),
        Access::Any => "admin or partner key".to_owned(),
        Access::Partner(scopes) => scopes
            .iter()
            .map(|scope| format!("`{scope}`"))
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_listed_twice() {
        let mut seen: Vec<_> = LISTED.iter().map(|row| (row.method, row.path)).collect();
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
