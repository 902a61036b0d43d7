//! Which scope allows which call: every operation against every scope.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Store};

on_both_engines![
    each_operation_needs_its_scope,
    every_key_may_ask_about_itself,
    a_key_with_org_plans_creates_orgs_of_those_alone,
];

struct Operation {
    method: &'static str,
    path: String,
    body: Value,
    scopes: &'static [&'static str],
}

fn operations(org: &str) -> Vec<Operation> {
    let operation = |method, path: String, body, scopes| Operation {
        method,
        path,
        body,
        scopes,
    };
    let one = format!("/cp/orgs/{org}");
    let reading: &[_] = &["orgs:create", "orgs:list"];
    vec![
        // Wrong in its body, so that nothing is made: the scope comes first.
        operation("POST", "/cp/orgs".into(), json!({}), &["orgs:create"]),
        operation("GET", "/cp/orgs".into(), Value::Null, &["orgs:list"]),
        operation("GET", one.clone(), Value::Null, reading),
        operation("GET", format!("{one}/status"), Value::Null, reading),
        operation(
            "GET",
            format!("{one}/workspaces"),
            Value::Null,
            &["orgs:list"],
        ),
        operation(
            "POST",
            format!("{one}/workspaces"),
            json!({}),
            &["workspaces:create"],
        ),
        operation(
            "GET",
            format!("{one}/billing"),
            Value::Null,
            &["billing:read"],
        ),
        operation("POST", format!("{one}/renew"), json!({}), &["orgs:create"]),
        operation(
            "DELETE",
            "/cp/orgs?label=run:none".into(),
            Value::Null,
            &["orgs:delete"],
        ),
        operation(
            "GET",
            "/cp/audit-events".into(),
            Value::Null,
            &["audit:read"],
        ),
        operation(
            "GET",
            "/cp/webhook-endpoints".into(),
            Value::Null,
            &["webhooks:manage"],
        ),
        operation("DELETE", one, Value::Null, &["orgs:delete"]),
    ]
}

#[track_caller]
fn check(key: &Caller, scope: &str, operation: &Operation) {
    let Operation {
        method,
        path,
        body,
        scopes,
    } = operation;
    let response = key.call(method, path, body.clone());
    if scopes.contains(&scope) {
        assert_ne!(
            response.status, 403,
            "{scope} allows {method} {path}: {response:#?}"
        );
        return;
    }
    response.problem(403, "insufficient-scope");
    let challenge = response.header("www-authenticate");
    let start = r#"Bearer realm="cp", error="insufficient_scope", scope=""#;
    let named = challenge
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix('"'));
    let named = named.unwrap_or_else(|| panic!("{response:#?}"));
    assert!(
        named.split(' ').all(|scope| scopes.contains(&scope)),
        "{response:#?}"
    );
    response.event();
}

fn each_operation_needs_its_scope(store: Store) {
    let server = store.start();
    let creator = server.key(ALL_SCOPES);
    let org = creator.org("acme-corp");
    let operations = operations(org["id"].as_str().unwrap());
    for scope in ALL_SCOPES {
        let key = server.key_of(creator.partner_id(), &[scope]);
        for operation in &operations {
            check(&key, scope, operation);
        }
    }
}

fn every_key_may_ask_about_itself(store: Store) {
    let server = store.start();
    for scope in ALL_SCOPES {
        let key = server.key(&[scope]);
        key.get("/cp/whoami").expect(200);
        key.get("/cp/admin/partner-keys").expect(200);
        key.get(&key.path()).expect(200);
        assert_eq!(key.delete(&key.path()).status, 204);
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
