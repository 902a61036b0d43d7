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
    let request = json!({"name": "a", "scopes": ["webhooks:manage"]});
    let made = server.admin().post("/cp/admin/partner-keys", request);
    assert_eq!(made.pointers(), ["/scopes/0"]);
}

fn routes_that_are_not_offered_are_not_there(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    key.get("/cp/webhook-endpoints").problem(404, "not-found");
}
