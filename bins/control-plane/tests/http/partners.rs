//! Partners: made and changed by the operator, and what their plan, quota and budget hold back.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    a_patch_of_a_partner_is_a_merge_patch,
    keys_are_for_the_plans_that_include_them,
    a_partner_that_loses_its_plan_can_still_end_its_keys,
    max_orgs_counts_every_org_that_is_not_deleted,
    max_orgs_holds_against_calls_at_the_same_time,
    a_slug_is_free_at_once_for_its_partner_alone,
];

fn a_patch_of_a_partner_is_a_merge_patch(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let id = server.partner(json!({
        "name": "Acme", "plan": "enterprise", "max_orgs": 3, "labels": {"a": "1", "b": "2"},
        "rate_limit": {"limit": 9, "window_seconds": 10},
    }));
    let path = format!("/cp/admin/partners/{id}");
    let mut expect = admin.get(&path).expect(200);
    assert_eq!(admin.patch(&path, json!({})).expect(200), expect);
    let headers = [("content-type", "application/merge-patch+json")];
    let patch = br#"{"name": "Acme Inc", "labels": {"a": null, "c": "3"}, "max_orgs": null}"#;
    let read = admin.send("PATCH", &path, &headers, patch).expect(200);
    expect["name"] = json!("Acme Inc");
    expect["labels"] = json!({"b": "2", "c": "3"});
    expect["max_orgs"] = Value::Null;
    assert_eq!(read, expect);
    expect["rate_limit"] = Value::Null;
    assert_eq!(
        admin.patch(&path, json!({"rate_limit": null})).expect(200),
        expect
    );
    for (change, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"plan": "gold"}), "/plan"),
        (json!({"max_orgs": -1}), "/max_orgs"),
        (json!({"id": "ptn_1"}), "/id"),
        (json!({"created_at": null}), "/created_at"),
        (
            json!({"rate_limit": {"limit": 0, "window_seconds": 1}}),
            "/rate_limit/limit",
        ),
        (
            json!({"rate_limit": {"limit": 1, "window_seconds": 86401}}),
            "/rate_limit/window_seconds",
        ),
        (
            json!({"rate_limit": {"limit": 100000001, "window_seconds": 1}}),
            "/rate_limit/limit",
        ),
    ] {
        assert_eq!(admin.patch(&path, change).pointers(), [pointer]);
    }
    assert_eq!(admin.get(&path).expect(200), expect);
    let missing = "/cp/admin/partners/ptn_01HXKM4000000000000000000A";
    admin
        .patch(missing, json!({"name": "x"}))
        .problem(404, "not-found");
}

fn keys_are_for_the_plans_that_include_them(store: Store) {
    let server = store.start();
    for plan in ["free", "standard", "partner", "enterprise"] {
        let id = server.partner(json!({"plan": plan}));
        let request = json!({"name": "a", "scopes": ["orgs:list"], "partner_id": id});
        let response = server.admin().post("/cp/admin/partner-keys", request);
        if ["partner", "enterprise"].contains(&plan) {
            response.expect(201);
        } else {
            response.problem(403, "partner-plan-required");
        }
    }
    assert_eq!(server.admin().all("/cp/admin/partner-keys").len(), 2);
    let missing = "ptn_01HXKM4000000000000000000A";
    let request = json!({"name": "a", "scopes": ["orgs:list"], "partner_id": missing});
    let response = server.admin().post("/cp/admin/partner-keys", request);
    assert_eq!(response.pointers(), ["/partner_id"]);
}

fn a_partner_that_loses_its_plan_can_still_end_its_keys(store: Store) {
    let server = store.start();
    let id = server.partner(json!({"plan": "enterprise"}));
    let key = server.key_of(&id, ALL_SCOPES);
    let sister = server.key_of(&id, ALL_SCOPES);
    let org = key.org("acme-corp");
    let path = format!("/cp/admin/partners/{id}");
    server
        .admin()
        .patch(&path, json!({"plan": "standard"}))
        .expect(200);
    let one = format!("/cp/orgs/{}", org["id"].as_str().unwrap());
    for (method, path) in [
        ("GET", "/cp/whoami"),
        ("GET", "/cp/orgs"),
        ("GET", &one),
        ("DELETE", &one),
        ("GET", "/cp/admin/partner-keys"),
        ("GET", &key.path()),
        ("DELETE", &sister.path()),
        ("GET", "/cp/audit-events"),
    ] {
        let response = key.call(method, path, Value::Null);
        response.problem(403, "partner-plan-required");
        response.event();
    }
    assert_eq!(key.delete(&key.path()).status, 204);
    key.get("/cp/whoami").problem(401, "key-revoked");
    // The plan comes back, and with it the key that was not revoked.
    server
        .admin()
        .patch(&path, json!({"plan": "partner"}))
        .expect(200);
    sister.get(&one).expect(200);
}

fn ask(key: &Caller, slug: &str) -> crate::kit::Response {
    key.post(
        "/cp/orgs",
        json!({"name": slug, "slug": slug, "plan": "free"}),
    )
}

fn max_orgs_counts_every_org_that_is_not_deleted(store: Store) {
    let server = store.start();
    let id = server.partner(json!({"max_orgs": 2}));
    let key = server.key_of(&id, ALL_SCOPES);
    let sister = server.key_of(&id, ALL_SCOPES);
    let first = key.org("acme-one");
    sister.org("acme-two");
    for key in [&key, &sister] {
        ask(key, "acme-three").problem(409, "org-quota-exceeded");
    }
    let one = format!("/cp/orgs/{}", first["id"].as_str().unwrap());
    let admins = format!("/cp/admin{}", &one[3..]);
    server
        .admin()
        .post(&format!("{admins}/suspend"), Value::Null)
        .expect(200);
    ask(&key, "acme-three").problem(409, "org-quota-exceeded");
    key.delete(&one).expect(202);
    key.wait(first["id"].as_str().unwrap(), "deleted");
    ask(&key, "acme-three").expect(201);
    ask(&key, "acme-four").problem(409, "org-quota-exceeded");
    let path = format!("/cp/admin/partners/{id}");
    server
        .admin()
        .patch(&path, json!({"max_orgs": 3}))
        .expect(200);
    ask(&key, "acme-four").expect(201);
    // Another partner is not held back.
    ask(&server.key(ALL_SCOPES), "acme-five").expect(201);
}

fn max_orgs_holds_against_calls_at_the_same_time(store: Store) {
    let server = store.start();
    let id = server.partner(json!({"max_orgs": 5}));
    let key = server.key_of(&id, ALL_SCOPES);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|n| {
                let key = key.clone();
                scope.spawn(move || ask(&key, &format!("acme-{n}")).status)
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&actual| actual == status).count();
    assert_eq!((count(201), count(409)), (5, 7), "{statuses:?}");
    assert_eq!(key.all("/cp/orgs").len(), 5);
}

fn a_slug_is_free_at_once_for_its_partner_alone(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let foreign = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    for caller in [&key, &foreign] {
        ask(caller, "acme-corp").problem(409, "slug-taken");
    }
    let id = org["id"].as_str().unwrap();
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
    ask(&foreign, "acme-corp").problem(409, "slug-taken");
    let again = key.org("acme-corp");
    assert_ne!(again["id"], org["id"]);
    assert_eq!(key.all("/cp/orgs?slug=acme-corp"), [again]);
    assert_eq!(foreign.all("/cp/orgs"), [Value::Null; 0]);
}
