//! A key that is bound to one org acts within that org alone.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, ORG_SCOPES, Store};

on_both_engines![
    a_bound_key_acts_within_its_org_alone,
    the_org_of_a_bound_key_fixes_its_partner,
    a_bound_keys_audit_log_is_its_orgs,
];

fn a_bound_key_acts_within_its_org_alone(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-one");
    let other = creator.org("acme-two");
    let (id, other) = (org["id"].as_str().unwrap(), other["id"].as_str().unwrap());
    let bound = server.issue(json!({"scopes": ORG_SCOPES, "org_id": id}));
    assert_eq!(bound.resource()["org_id"], id);
    assert_eq!(bound.partner_id(), creator.partner_id());
    assert_eq!(
        bound.get("/cp/whoami").expect(200)["credential"]["org_id"],
        id
    );

    let request = json!({"name": "more", "slug": "acme-more", "plan": "free"});
    bound
        .post("/cp/orgs", request)
        .problem(403, "not-permitted");
    assert_eq!(bound.all("/cp/orgs"), std::slice::from_ref(&org));
    for (method, rest, body) in [
        ("GET", "", Value::Null),
        ("GET", "/status", Value::Null),
        ("GET", "/workspaces", Value::Null),
        ("POST", "/workspaces", json!({"name": "QA"})),
        ("GET", "/billing", Value::Null),
        ("POST", "/renew", json!({"ttl_seconds": 600})),
        ("DELETE", "", Value::Null),
    ] {
        let ask = |id: &str| bound.call(method, &format!("/cp/orgs/{id}{rest}"), body.clone());
        ask(other).problem(404, "not-found");
        let own = ask(id);
        if rest == "/renew" {
            own.problem(409, "org-state-conflict");
        } else {
            assert!([200, 201, 202].contains(&own.status), "{own:#?}");
        }
    }
    assert_eq!(
        creator.get(&format!("/cp/orgs/{other}")).expect(200)["status"],
        "ready"
    );
    let keys = bound.all("/cp/admin/partner-keys");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["id"], bound.id());
    bound.delete(&creator.path()).problem(403, "not-permitted");
    assert_eq!(bound.delete(&bound.path()).status, 204);
}

fn the_org_of_a_bound_key_fixes_its_partner(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-one");
    let foreign = server.key(ALL_SCOPES);
    let ask = |org: &str, partner: Value| {
        let request =
            json!({"name": "a", "scopes": ["orgs:list"], "org_id": org, "partner_id": partner});
        server.admin().post("/cp/admin/partner-keys", request)
    };
    let id = org["id"].as_str().unwrap();
    ask(id, json!(creator.partner_id())).expect(201);
    ask(id, Value::Null).expect(201);
    let keys = server.admin().all("/cp/admin/partner-keys").len();
    let partners = server.admin().all("/cp/admin/partners").len();
    assert_eq!(ask(id, json!(foreign.partner_id())).pointers(), ["/org_id"]);
    for missing in ["org_01HXKM4000000000000000000A", "org_1", ""] {
        assert_eq!(ask(missing, Value::Null).pointers(), ["/org_id"]);
    }
    assert_eq!(server.admin().all("/cp/admin/partner-keys").len(), keys);
    assert_eq!(server.admin().all("/cp/admin/partners").len(), partners);
}

fn a_bound_keys_audit_log_is_its_orgs(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-one");
    let other = creator.org("acme-two");
    let id = org["id"].as_str().unwrap();
    let bound = server.issue(json!({"scopes": ["audit:read"], "org_id": id}));
    creator.get("/cp/orgs").expect(200);
    let events = bound.all("/cp/audit-events");
    let actions: Vec<_> = events
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    for action in ["org.create", "org.provisioned", "org.status"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    assert!(!actions.contains(&"org.list"), "{actions:?}");
    for event in &events {
        assert_ne!(event["target"]["id"], other["id"], "{event:#}");
        assert_ne!(event["actor"]["type"], "admin", "{event:#}");
    }
}
