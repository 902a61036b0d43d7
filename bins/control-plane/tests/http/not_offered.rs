//! What this version does not offer yet is refused, never ignored.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Store};

on_both_engines![
    headers_that_are_not_offered_are_refused,
    members_that_are_not_offered_are_refused,
    routes_that_are_not_offered_are_not_there,
];

fn headers_that_are_not_offered_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let body = br#"{"name": "a", "slug": "acme-corp", "plan": "free"}"#;
    let header = ("prefer", "wait=30");
    key.send("POST", "/cp/orgs", &[header], body).pointers();
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
}

fn members_that_are_not_offered_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = json!({"name": "a", "slug": "acme-corp", "plan": "free", "ttl_seconds": 60});
    assert_eq!(key.post("/cp/orgs", org).pointers(), ["/ttl_seconds"]);
    for (member, value) in [("on_revoke", json!("delete")), ("max_live_orgs", json!(3))] {
        let pointer = [format!("/{member}")];
        let mut request = json!({"name": "a", "scopes": ["orgs:list"]});
        request[member] = value.clone();
        let made = server.admin().post("/cp/admin/partner-keys", request);
        assert_eq!(made.pointers(), pointer);
        let changed = server.admin().patch(&key.path(), json!({ member: value }));
        assert_eq!(changed.pointers(), pointer);
    }
    let request = json!({"name": "a", "scopes": ["webhooks:manage"]});
    let made = server.admin().post("/cp/admin/partner-keys", request);
    assert_eq!(made.pointers(), ["/scopes/0"]);
}

fn routes_that_are_not_offered_are_not_there(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let renew = format!("/cp/orgs/{id}/renew");
    key.post(&renew, json!({"ttl_seconds": 60}))
        .problem(404, "not-found");
    key.get("/cp/webhook-endpoints").problem(404, "not-found");
    key.delete("/cp/orgs?label=a:b")
        .problem(405, "method-not-allowed");
}
