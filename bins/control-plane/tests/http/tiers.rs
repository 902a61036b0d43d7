//! Keys that are held to some plans: one key for each integration tier.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    a_key_with_org_plans_creates_orgs_of_those_alone,
    a_key_changes_and_deletes_orgs_of_its_plans_alone,
    a_deletion_by_label_with_an_org_of_another_plan_deletes_none,
    whoami_shows_what_a_key_is_held_to,
];

/// Creates an org with a lease and the label `run_id:7`; gives its id.
#[track_caller]
fn create(key: &Caller, slug: &str, plan: &str) -> String {
    let request = json!({
        "name": slug, "slug": slug, "plan": plan, "ttl_seconds": 600, "labels": {"run_id": "7"},
    });
    let org = key.post("/cp/orgs", request).expect(201);
    let id = org["id"].as_str().unwrap().to_owned();
    key.wait(&id, "ready");
    id
}

fn a_key_changes_and_deletes_orgs_of_its_plans_alone(store: Store) {
    let server = store.start();
    let all = server.key(ALL_SCOPES);
    let tier = server.issue(json!({
        "scopes": ALL_SCOPES, "partner_id": all.partner_id(), "org_plans": ["free"],
    }));
    let (own, other) = (
        create(&all, "acme-own", "free"),
        create(&all, "acme-other", "standard"),
    );
    // It sees them all.
    assert_eq!(tier.all("/cp/orgs").len(), 2);
    tier.get(&format!("/cp/orgs/{other}")).expect(200);
    let calls: [(&str, &str, Value); 3] = [
        ("POST", "/renew", json!({"ttl_seconds": 600})),
        ("POST", "/workspaces", json!({"name": "QA"})),
        ("DELETE", "", Value::Null),
    ];
    for (method, path, body) in calls {
        let refused = tier.call(method, &format!("/cp/orgs/{other}{path}"), body.clone());
        let problem = refused.problem(403, "org-plan-not-allowed");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("free") && detail.contains("standard"),
            "{detail}"
        );
        refused.event();
        let response = tier.call(method, &format!("/cp/orgs/{own}{path}"), body);
        assert!((200..300).contains(&response.status), "{response:#?}");
    }
    assert_eq!(
        all.get(&format!("/cp/orgs/{other}")).expect(200)["status"],
        "ready"
    );
    // What is not there is not there, whatever the plan.
    let unrelated = server.key(ALL_SCOPES);
    let foreign = create(&unrelated, "acme-foreign", "standard");
    tier.delete(&format!("/cp/orgs/{foreign}"))
        .problem(404, "not-found");
}

fn a_deletion_by_label_with_an_org_of_another_plan_deletes_none(store: Store) {
    let server = store.start();
    let all = server.key(ALL_SCOPES);
    let tier = server.issue(json!({
        "scopes": ALL_SCOPES, "partner_id": all.partner_id(), "org_plans": ["free"],
    }));
    create(&all, "acme-own", "free");
    let other = create(&all, "acme-other", "standard");
    for query in ["label=run_id:7", "label=run_id:7&dry_run=true"] {
        let refused = tier.delete(&format!("/cp/orgs?{query}"));
        refused.problem(403, "org-plan-not-allowed");
        refused.event();
    }
    assert_eq!(all.all("/cp/orgs?status=ready").len(), 2);
    all.delete(&format!("/cp/orgs/{other}")).expect(202);
    let deleted = tier.delete("/cp/orgs?label=run_id:7").expect(202);
    assert_eq!(deleted["data"][0]["slug"], "acme-own");
}

fn whoami_shows_what_a_key_is_held_to(store: Store) {
    let server = store.start();
    let held = json!({
        "org_plans": ["free"], "max_live_orgs": 3, "allowed_cidrs": ["127.0.0.0/8", "::1/128"],
    });
    let mut request = held.clone();
    request["scopes"] = json!(["orgs:list"]);
    let key = server.issue(request);
    let credential = key.get("/cp/whoami").expect(200)["credential"].clone();
    for (name, value) in held.as_object().unwrap() {
        assert_eq!(credential[name], *value, "{name}");
    }
    let (free, admin) = (server.key(ALL_SCOPES), server.admin());
    for caller in [&free, &admin] {
        let credential = caller.get("/cp/whoami").expect(200)["credential"].clone();
        for name in held.as_object().unwrap().keys() {
            assert_eq!(credential.get(name), Some(&Value::Null), "{name}");
        }
    }
}

fn a_key_with_org_plans_creates_orgs_of_those_alone(store: Store) {
    let server = store.start();
    let key = server.issue(json!({
        "scopes": ["orgs:create", "orgs:list"], "org_plans": ["standard", "free"],
    }));
    let ask = |slug: &str, plan: &str| {
        key.post(
            "/cp/orgs",
            json!({"name": "Acme", "slug": slug, "plan": plan}),
        )
    };
    ask("acme-one", "standard").expect(201);
    ask("acme-two", "free").expect(201);
    ask("acme-three", "enterprise").problem(403, "org-plan-not-allowed");
    assert_eq!(ask("acme-three", "platinum").pointers(), ["/plan"]);
    assert_eq!(key.all("/cp/orgs").len(), 2);
    // Every plan again, at once.
    server
        .admin()
        .patch(&key.path(), json!({"org_plans": null}))
        .expect(200);
    ask("acme-three", "enterprise").expect(201);
    for (plans, pointer) in [
        (json!([]), "/org_plans"),
        (json!(["free", "platinum"]), "/org_plans/1"),
    ] {
        let request = json!({"name": "a", "scopes": ["orgs:create"], "org_plans": plans});
        let response = server.admin().post("/cp/admin/partner-keys", request);
        assert_eq!(response.pointers(), [pointer]);
    }
}
