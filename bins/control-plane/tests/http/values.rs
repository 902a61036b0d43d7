//! Values that are missing or wrong: each has an error with its pointer, and nothing is created.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    values_of_an_org_are_checked_one_by_one,
    values_of_a_key_are_checked_one_by_one,
    values_at_the_edge_are_taken,
    all_errors_are_listed_at_once,
];

fn org() -> Value {
    json!({"name": "Acme", "slug": "acme-corp", "plan": "standard"})
}

#[track_caller]
fn nothing_was_created(key: &Caller) {
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
}

#[track_caller]
fn check(key: &Caller, path: &str, base: &Value, member: &str, value: Value, pointer: &str) {
    let mut request = base.clone();
    request[member] = value;
    assert_eq!(
        key.post(path, request.clone()).pointers(),
        [pointer],
        "{request}"
    );
}

fn many_labels(count: usize) -> Value {
    (0..count)
        .map(|n| (format!("l{n}"), json!("x")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// One value of each kind; the crates of the domain have tables of what fits and what does not.
fn values_of_an_org_are_checked_one_by_one(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for (member, value, pointer) in [
        ("name", Value::Null, "/name"),
        ("name", json!(7), "/name"),
        ("name", json!("a\nb"), "/name"),
        ("name", json!("é".repeat(201)), "/name"),
        ("external_id", json!(""), "/external_id"),
        ("slug", json!({}), "/slug"),
        ("slug", json!("a--b"), "/slug"),
        ("slug", json!("staging-api"), "/slug"),
        ("plan", json!("Standard"), "/plan"),
        ("labels", many_labels(17), "/labels"),
        ("labels", json!({"Upper": "x"}), "/labels/Upper"),
        ("labels", json!({"a/b": "x"}), "/labels/a~1b"),
        ("labels", json!({"a": null}), "/labels/a"),
        ("ttl_seconds", json!(59), "/ttl_seconds"),
        ("status", json!("ready"), "/status"),
        ("Name", json!("x"), "/Name"),
        ("a~b", json!("x"), "/a~0b"),
        ("", json!("x"), "/"),
    ] {
        check(&key, "/cp/orgs", &org(), member, value, pointer);
    }
    for member in ["name", "slug", "plan"] {
        let mut request = org();
        request.as_object_mut().unwrap().remove(member);
        let pointers = key.post("/cp/orgs", request).pointers();
        assert_eq!(pointers, [format!("/{member}")]);
    }
    let response = key.post(
        "/cp/orgs",
        json!({"name": "a", "slug": "acme", "plan": "platinum"}),
    );
    assert_eq!(response.pointers(), ["/plan"]);
    let detail = &response.json()["errors"][0]["detail"];
    for plan in ["free", "standard", "enterprise"] {
        assert!(detail.as_str().unwrap().contains(plan), "{detail}");
    }
    nothing_was_created(&key);
}

fn values_of_a_key_are_checked_one_by_one(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let base = json!({"name": "a", "scopes": ["orgs:list"]});
    let limit = |limit: Value, window: Value| json!({"limit": limit, "window_seconds": window});
    for (member, value, pointer) in [
        ("scopes", json!("orgs:list"), "/scopes"),
        ("scopes", json!(["orgs:list", "orgs:fly"]), "/scopes/1"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "/expires_at"),
        ("expires_at", json!("2099-02-30T00:00:00Z"), "/expires_at"),
        ("expires_in_days", json!(1.5), "/expires_in_days"),
        ("rate_limit", json!(600), "/rate_limit"),
        (
            "rate_limit",
            limit(json!(0), json!(60)),
            "/rate_limit/limit",
        ),
        (
            "rate_limit",
            limit(json!(6), Value::Null),
            "/rate_limit/window_seconds",
        ),
        ("org_plans", json!([]), "/org_plans"),
        ("allowed_cidrs", json!([]), "/allowed_cidrs"),
        ("partner_id", json!("ptn_1"), "/partner_id"),
        ("on_revoke", json!("burn"), "/on_revoke"),
        ("max_live_orgs", json!(-1), "/max_live_orgs"),
        ("labels", json!(["a"]), "/labels"),
        ("disabled", json!(true), "/disabled"),
        ("admin", json!(true), "/admin"),
    ] {
        check(
            &admin,
            "/cp/admin/partner-keys",
            &base,
            member,
            value,
            pointer,
        );
    }
    for list in ["/cp/admin/partner-keys", "/cp/admin/partners"] {
        assert_eq!(admin.all(list), [Value::Null; 0]);
    }
}

fn values_at_the_edge_are_taken(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for (n, (member, value)) in [
        ("name", json!("x".repeat(200))),
        ("name", json!("é".repeat(200))),
        ("name", json!("'; drop table orgs; -- <b>\u{1f600}")),
        ("external_id", json!("x".repeat(200))),
        ("external_id", Value::Null),
        ("labels", Value::Null),
        ("labels", many_labels(16)),
        (
            "labels",
            json!({"x".repeat(63): "é".repeat(255), "a": "", "0._-": "a:b\u{1f600}"}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = json!({"name": "a", "slug": format!("a-{n}"), "plan": "free"});
        request[member] = value.clone();
        let created = key.post("/cp/orgs", request).expect(201);
        let id = created["id"].as_str().unwrap();
        let read = key.get(&format!("/cp/orgs/{id}")).expect(200);
        assert_eq!(read[member], created[member]);
        assert!(value.is_null() || read[member] == value, "{read:#}");
    }
    for slug in ["abc", "a1b", "a-b", &"a".repeat(32), "status1"] {
        let request = json!({"name": "a", "slug": slug, "plan": "free"});
        key.post("/cp/orgs", request).expect(201);
    }
    let limit = json!({"limit": 100_000_000, "window_seconds": 86_400});
    server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    server.issue(json!({"scopes": ["orgs:list"], "rate_limit": {"limit": 1, "window_seconds": 1}}));
}

fn all_errors_are_listed_at_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let request = json!({"name": "", "slug": "No", "labels": {"A": "x"}, "extra": 1});
    let mut pointers = key.post("/cp/orgs", request).pointers();
    pointers.sort();
    assert_eq!(pointers, ["/extra", "/labels/A", "/name", "/plan", "/slug"]);
}
