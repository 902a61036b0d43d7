//! What else the scopes of a key mean, beside the matrix of all operations.

use serde_json::json;

use crate::kit::{ALL_SCOPES, Store};

on_both_engines![
    either_scope_is_enough_to_read_an_org,
    a_key_with_org_plans_creates_orgs_of_those_alone,
];

fn either_scope_is_enough_to_read_an_org(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let (list, own) = (
        server.key_of(creator.partner_id(), &["orgs:list"]),
        server.key(&["orgs:create"]),
    );
    for path in [format!("/cp/orgs/{id}"), format!("/cp/orgs/{id}/status")] {
        list.get(&path).expect(200);
        own.get(&path).problem(404, "not-found");
    }
    let request = json!({"name": "Acme", "slug": "acme-own", "plan": "free"});
    let own_org = own.post("/cp/orgs", request).expect(201);
    let path = format!("/cp/orgs/{}", own_org["id"].as_str().unwrap());
    own.get(&path).expect(200);
    own.get(&format!("{path}/status")).expect(200);
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
