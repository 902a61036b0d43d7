//! Values that are missing or wrong: each is told at its place, and nothing is made.

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

fn labels_that_are_wrong(check: impl Fn(Value, &str)) {
    check(many_labels(17), "/labels");
    check(json!({"Upper": "x"}), "/labels/Upper");
    check(json!({"": "x"}), "/labels/");
    check(json!({"-a": "x"}), "/labels/-a");
    check(json!({"a/b": "x"}), "/labels/a~1b");
    check(json!({"a": 1}), "/labels/a");
    check(json!({"a": null}), "/labels/a");
    check(json!({"a": "x".repeat(256)}), "/labels/a");
    check(json!(["a"]), "/labels");
    check(json!("a:b"), "/labels");
}

fn values_of_an_org_are_checked_one_by_one(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let wrong = |member: &str, value: Value, pointer: &str| {
        check(&key, "/cp/orgs", &org(), member, value, pointer);
    };
    for member in ["name", "slug", "plan"] {
        let pointer = format!("/{member}");
        for value in [
            Value::Null,
            json!(7),
            json!(true),
            json!([]),
            json!({}),
            json!(""),
        ] {
            wrong(member, value, &pointer);
        }
        let mut request = org();
        request.as_object_mut().unwrap().remove(member);
        assert_eq!(key.post("/cp/orgs", request).pointers(), [pointer]);
    }
    for member in ["name", "external_id"] {
        let pointer = format!("/{member}");
        for text in [
            "x".repeat(201),
            "é".repeat(201),
            "a\nb".into(),
            "a\0b".into(),
            "\u{7f}".into(),
            "a\u{85}b".into(),
        ] {
            wrong(member, json!(text), &pointer);
        }
    }
    for slug in [
        "Acme",
        "ACME-CORP",
        "ab",
        "a",
        "1ab",
        "-ab",
        "ab-",
        "a--b",
        "a_b",
        "acmé",
        "a.b",
        "a b",
        "abc\n",
        "xn--abc",
        "app",
        "www",
        "api",
        "admin",
        "cp",
        "dashboard",
        "billing",
        "status",
        "docs",
        "doc",
        "staging-api",
    ] {
        wrong("slug", json!(slug), "/slug");
    }
    wrong("slug", json!("a".repeat(33)), "/slug");
    labels_that_are_wrong(|value, pointer| wrong("labels", value, pointer));
    for member in ["id", "status", "partner_id", "Name", "a/b", "a~b", ""] {
        let pointer = format!("/{}", member.replace('~', "~0").replace('/', "~1"));
        wrong(member, json!("x"), &pointer);
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
    let wrong = |member: &str, value: Value, pointer: &str| {
        check(
            &admin,
            "/cp/admin/partner-keys",
            &base,
            member,
            value,
            pointer,
        );
    };
    wrong("name", json!("x".repeat(201)), "/name");
    wrong("name", Value::Null, "/name");
    wrong("scopes", Value::Null, "/scopes");
    wrong("scopes", json!("orgs:list"), "/scopes");
    for scope in ["orgs:fly", "ORGS:LIST", "orgs:*", "*", "", "orgs:list "] {
        wrong("scopes", json!(["orgs:list", scope]), "/scopes/1");
    }
    wrong("scopes", json!([7]), "/scopes/0");
    for value in [
        json!("2020-01-01T00:00:00Z"),
        json!("tomorrow"),
        json!("2099-01-01"),
        json!(7),
        json!("2099-02-30T00:00:00Z"),
    ] {
        wrong("expires_at", value, "/expires_at");
    }
    for value in [json!(0), json!(-1), json!(1.5), json!("7"), json!(1e300)] {
        wrong("expires_in_days", value, "/expires_in_days");
    }
    for (limit, window, pointer) in [
        (json!(0), json!(60), "/rate_limit/limit"),
        (json!(100_000_001), json!(60), "/rate_limit/limit"),
        (json!("6"), json!(60), "/rate_limit/limit"),
        (json!(6), json!(0), "/rate_limit/window_seconds"),
        (json!(6), json!(86_401), "/rate_limit/window_seconds"),
        (json!(6), Value::Null, "/rate_limit/window_seconds"),
    ] {
        wrong(
            "rate_limit",
            json!({"limit": limit, "window_seconds": window}),
            pointer,
        );
    }
    wrong(
        "rate_limit",
        json!({"limit": 6, "window_seconds": 60, "burst": 1}),
        "/rate_limit/burst",
    );
    wrong("rate_limit", json!(600), "/rate_limit");
    wrong("org_plans", json!([]), "/org_plans");
    wrong("allowed_cidrs", json!([]), "/allowed_cidrs");
    wrong("partner_id", json!("ptn_1"), "/partner_id");
    wrong("on_revoke", json!("burn"), "/on_revoke");
    for count in [json!(-1), json!(1.5), json!("3"), json!(1_000_000_001)] {
        wrong("max_live_orgs", count, "/max_live_orgs");
    }
    labels_that_are_wrong(|value, pointer| wrong("labels", value, pointer));
    for member in ["key", "id", "disabled", "status", "created_by", "admin"] {
        wrong(member, json!("x"), &format!("/{member}"));
    }
    let both = json!({
        "name": "a", "scopes": ["orgs:list"], "expires_at": "2099-01-01T00:00:00Z", "expires_in_days": 1,
    });
    admin.post("/cp/admin/partner-keys", both).pointers();
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
