//! What this version does not offer yet is refused, never ignored.

use serde_json::Value;

use crate::kit::{ALL_SCOPES, Store};

on_both_engines![headers_that_are_not_offered_are_refused,];

fn headers_that_are_not_offered_are_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let body = br#"{"name": "a", "slug": "acme-corp", "plan": "free"}"#;
    let header = ("prefer", "wait=30");
    key.send("POST", "/cp/orgs", &[header], body).pointers();
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
}
