//! What a pipeline relies on: leases, and orgs that are deleted by label.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{ALL_SCOPES, Caller, ORG_SCOPES, Response, Store};

on_both_engines![
    a_lease_is_shown_by_its_org_and_renewed_by_any_key_of_the_partner,
    a_lease_is_renewed_by_whoever_may_and_where_there_is_one,
    a_renewal_that_is_sent_again_is_done_once,
    orgs_are_deleted_by_all_of_the_labels_after_a_dry_run,
    a_deletion_by_label_stays_within_the_visibility_of_its_key,
    a_deletion_without_a_label_or_with_something_unknown_deletes_nothing,
];

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

fn id(org: &Value) -> &str {
    org["id"].as_str().unwrap()
}

fn create(key: &Caller, slug: &str, more: Value) -> Value {
    let mut request = json!({"name": slug, "slug": slug, "plan": "free"});
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    key.post("/cp/orgs", request).expect(201)
}

fn renew(key: &Caller, org: &Value, seconds: u32) -> Response {
    let path = format!("/cp/orgs/{}/renew", id(org));
    key.post(&path, json!({"ttl_seconds": seconds}))
}

fn a_lease_is_shown_by_its_org_and_renewed_by_any_key_of_the_partner(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:create"]);
    let sister = server.key_of(key.partner_id(), &["orgs:create"]);
    let org = create(&key, "acme-run-1", json!({"ttl_seconds": 600}));
    let length = time(&org["expires_at"]) - time(&org["created_at"]);
    assert_eq!(length, Duration::seconds(600));
    let before = OffsetDateTime::now_utc();
    let renewed = renew(&sister, &org, 3600);
    renewed.event();
    let renewed = renewed.expect(200);
    let end = time(&renewed["expires_at"]) - Duration::seconds(3600);
    assert!(
        before <= end && end <= OffsetDateTime::now_utc(),
        "{renewed:#}"
    );
    let read = key.get(&format!("/cp/orgs/{}", id(&org))).expect(200);
    assert_eq!(read["expires_at"], renewed["expires_at"]);
    let events = server.events("action=org.renew");
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["target"]["id"], org["id"]);
    assert_eq!(events[0]["details"]["ttl_seconds"], 3600);
}

fn a_lease_is_renewed_by_whoever_may_and_where_there_is_one(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = create(&key, "acme-run-1", json!({"ttl_seconds": 600}));
    let unleased = create(&key, "acme-corp", json!({"ttl_seconds": null}));
    assert_eq!(unleased["expires_at"], Value::Null);
    let conflict = renew(&key, &unleased, 600);
    conflict.problem(409, "org-state-conflict");
    conflict.event();
    let unrelated = server.key(ALL_SCOPES);
    renew(&unrelated, &org, 600).problem(404, "not-found");
    let reader = server.key_of(key.partner_id(), &["orgs:list", "orgs:delete"]);
    renew(&reader, &org, 600).problem(403, "insufficient-scope");
    let path = format!("/cp/orgs/{}/renew", id(&org));
    for ttl in [json!(59), json!(2_592_001), json!("600"), json!(null)] {
        let response = key.post(&path, json!({"ttl_seconds": ttl}));
        assert_eq!(response.pointers(), ["/ttl_seconds"], "{ttl}");
    }
    for ttl in [59, 2_592_001] {
        let request = json!({"name": "a", "slug": "acme-b", "plan": "free", "ttl_seconds": ttl});
        assert_eq!(key.post("/cp/orgs", request).pointers(), ["/ttl_seconds"]);
    }
    renew(&key, &org, 2_592_000).expect(200);
    key.delete(&format!("/cp/orgs/{}", id(&org))).expect(202);
    renew(&key, &org, 600).problem(409, "org-state-conflict");
    key.wait(id(&org), "deleted");
    renew(&key, &org, 600).problem(409, "org-state-conflict");
}

fn a_renewal_that_is_sent_again_is_done_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = create(&key, "acme-run-1", json!({"ttl_seconds": 600}));
    let path = format!("/cp/orgs/{}/renew", id(&org));
    let send = || {
        let headers = [("idempotency-key", "renewal-1")];
        key.send("POST", &path, &headers, br#"{"ttl_seconds": 900}"#)
    };
    let (first, second) = (send(), send());
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotency-replayed"), "true");
    first.expect(200);
}

fn slugs(response: &Value) -> Vec<&str> {
    assert_eq!(response.as_object().unwrap().len(), 1, "{response:#}");
    let orgs = response["data"].as_array().unwrap();
    orgs.iter()
        .map(|org| org["slug"].as_str().unwrap())
        .collect()
}

fn orgs_are_deleted_by_all_of_the_labels_after_a_dry_run(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for (slug, run, step) in [
        ("acme-a", "123", "one"),
        ("acme-b", "123", "two"),
        ("acme-c", "124", "one"),
    ] {
        let labels = json!({"labels": {"run_id": run, "step": step}});
        let org = create(&key, slug, labels);
        key.wait(id(&org), "ready");
    }
    assert_eq!(key.all("/cp/orgs?label=run_id:123").len(), 2);
    let dry = key.delete("/cp/orgs?label=run_id:123&dry_run=true");
    let actual = dry.expect(200);
    assert_eq!(slugs(&actual), ["acme-b", "acme-a"]);
    assert!(
        actual["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|org| org["status"] == "ready")
    );
    for org in actual["data"].as_array().unwrap() {
        let members: Vec<&str> = org
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(members, ["id", "slug", "status"]);
    }
    assert_eq!(key.all("/cp/orgs?status=ready").len(), 3);
    let one = key.delete("/cp/orgs?label=run_id:123&label=step:two&dry_run=true");
    assert_eq!(slugs(&one.expect(200)), ["acme-b"]);

    let deleted = key.delete("/cp/orgs?label=run_id:123&dry_run=false");
    let actual = deleted.expect(202);
    assert_eq!(slugs(&actual), ["acme-b", "acme-a"]);
    for org in actual["data"].as_array().unwrap() {
        assert_eq!(org["status"], "deprovisioning");
        key.wait(id(org), "deleted");
    }
    let again = key.delete("/cp/orgs?label=run_id:123").expect(202);
    assert_eq!(slugs(&again), [""; 0]);
    let left = key.all("/cp/orgs");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["slug"], "acme-c");

    let events = server.events("action=org.delete");
    assert_eq!(events.len(), 4, "{events:#?}");
    let event = events.iter().find(|event| event["id"] == deleted.event());
    let event = event.unwrap();
    assert_eq!(event["details"]["count"], 2);
    assert_eq!(event["details"]["labels"], json!(["run_id:123"]));
    let ids: Vec<&Value> = actual["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|org| &org["id"])
        .collect();
    assert_eq!(event["details"]["orgs"], json!(ids));
    assert_eq!(event["route"], "/cp/orgs");
}

fn a_deletion_by_label_stays_within_the_visibility_of_its_key(store: Store) {
    let server = store.start();
    let labels = || json!({"labels": {"run_id": "1"}});
    let (key, unrelated) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let own = create(&key, "acme-own", labels());
    let other = create(&key, "acme-other", labels());
    let foreign = create(&unrelated, "acme-foreign", labels());
    let bound = server.issue(json!({"scopes": ORG_SCOPES, "org_id": id(&own)}));
    let path = "/cp/orgs?label=run_id:1";
    assert_eq!(slugs(&bound.delete(path).expect(202)), ["acme-own"]);
    let seen = bound.all("/cp/audit-events?action=org.delete");
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(slugs(&key.delete(path).expect(202)), ["acme-other"]);
    key.wait(id(&other), "deleted");
    unrelated.wait(id(&foreign), "ready");
    let reader = server.key_of(key.partner_id(), &["orgs:list", "orgs:create"]);
    reader.delete(path).problem(403, "insufficient-scope");
    server.admin().delete(path).problem(403, "not-permitted");
}

fn a_deletion_without_a_label_or_with_something_unknown_deletes_nothing(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    create(&key, "acme-corp", json!({"labels": {"a": "b"}}));
    for query in [
        "",
        "?dry_run=true",
        "?label=",
        "?label=a:",
        "?label=a:b&label=c:",
        "?label=a",
        "?label=A:b",
        "?label=a:b&status=ready",
        "?label=a:b&limit=10",
        "?label=a:b&dry_run=yes",
        "?label=a:b&dry-run=true",
        "?label=a:b&dry_run=true&dry_run=false",
    ] {
        let response = key.delete(&format!("/cp/orgs{query}"));
        response.problem(400, "invalid-request");
        response.event();
    }
    assert_eq!(key.all("/cp/orgs").len(), 1);
}
