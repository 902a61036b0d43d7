//! Trust rules, made and changed by the operator.

use serde_json::{Value, json};

use crate::kit::{Server, Store};

on_both_engines![
    a_trust_rule_is_made_read_listed_changed_and_deleted,
    a_rule_that_would_trust_too_much_is_refused,
    a_rule_is_of_a_partner_whose_plan_includes_keys,
    a_partner_has_a_bounded_number_of_rules,
];

const PATH: &str = "/cp/admin/trust-rules";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn rule(partner: &str) -> Value {
    json!({
        "name": "acme-deploy", "partner_id": partner, "issuer": GITHUB, "audience": "https://cp.example",
        "claims": {"repository_id": "1296269", "ref": ["refs/heads/main", "refs/heads/next"]},
        "scopes": ["orgs:create", "orgs:list"],
    })
}

fn with(mut rule: Value, member: &str, value: Value) -> Value {
    rule[member] = value;
    rule
}

#[track_caller]
fn path(rule: &Value) -> String {
    format!("{PATH}/{}", rule["id"].as_str().unwrap())
}

fn a_trust_rule_is_made_read_listed_changed_and_deleted(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let partner = server.partner(json!({}));
    let made = admin.post(PATH, rule(&partner)).expect(201);
    let mut expect = rule(&partner);
    let defaults = json!({
        "id": made["id"], "created_at": made["created_at"], "org_plans": null, "max_live_orgs": null,
        "max_ttl_seconds": null, "rate_limit": null, "token_ttl_seconds": 900, "enabled": true,
        "refuse": {"event_name": ["pull_request_target", "workflow_run"]},
    });
    let members = expect.as_object_mut().unwrap();
    members.extend(defaults.as_object().unwrap().clone());
    assert_eq!(made, expect);
    assert!(made["id"].as_str().unwrap().starts_with("tru_"));
    assert_eq!(admin.get(&path(&made)).expect(200), expect);
    let full = admin.post(
        PATH,
        json!({
            "name": "b", "partner_id": partner, "issuer": "https://gitlab.com", "audience": "cp",
            "claims": {"project_id": 7, "protected": [true, "true"]}, "refuse": {"user_email": "a@b.example"},
            "scopes": [], "org_plans": ["free"], "max_live_orgs": 3, "max_ttl_seconds": 600,
            "rate_limit": {"limit": 5, "window_seconds": 1}, "token_ttl_seconds": 60, "enabled": false,
        }),
    );
    let full = full.expect(201);
    assert_eq!(full["refuse"], json!({"user_email": ["a@b.example"]}));
    assert_eq!(
        full["claims"],
        json!({"project_id": 7, "protected": [true, "true"]})
    );
    let other = server.partner(json!({}));
    let foreign = admin.post(PATH, rule(&other)).expect(201);
    assert_eq!(
        admin.all(PATH),
        [foreign.clone(), full.clone(), made.clone()]
    );
    let of_partner = format!("{PATH}?partner_id={partner}");
    assert_eq!(admin.all(&of_partner), [full, made.clone()]);

    let changes = json!({
        "name": "c", "claims": {"ref": null, "environment": "production"}, "refuse": {"event_name": []},
        "token_ttl_seconds": 3600, "max_live_orgs": 1,
    });
    let changed = admin.patch(&path(&made), changes).expect(200);
    let expected = [
        ("name", json!("c")),
        (
            "claims",
            json!({"repository_id": "1296269", "environment": "production"}),
        ),
        ("refuse", json!({"event_name": []})),
        ("token_ttl_seconds", json!(3600)),
        ("max_live_orgs", json!(1)),
    ];
    for (member, value) in expected {
        expect[member] = value;
    }
    assert_eq!(changed, expect);
    let back =
        json!({"refuse": null, "token_ttl_seconds": null, "max_live_orgs": null, "enabled": null});
    let back = admin.patch(&path(&made), back).expect(200);
    assert_eq!(back["refuse"], made["refuse"]);
    assert_eq!(back["token_ttl_seconds"], 900);
    assert_eq!(admin.get(&path(&made)).expect(200), back);

    for _ in 0..2 {
        assert_eq!(admin.delete(&path(&made)).status, 204);
    }
    admin.get(&path(&made)).problem(404, "not-found");
    admin
        .patch(&path(&made), json!({}))
        .problem(404, "not-found");
    assert!(!admin.all(&of_partner).contains(&back));
    let unknown = format!("{PATH}/tru_01HXKM4000000000000000000A");
    admin.delete(&unknown).problem(404, "not-found");
    let actions: Vec<Value> = server
        .events("")
        .into_iter()
        .map(|event| event["action"].clone())
        .filter(|action| {
            action
                .as_str()
                .is_some_and(|it| it.starts_with("trust_rule."))
        })
        .collect();
    for action in ["create", "read", "list", "update", "delete"] {
        assert!(
            actions.contains(&json!(format!("trust_rule.{action}"))),
            "{action}"
        );
    }
}

#[track_caller]
fn refused(server: &Server, rule: Value, pointer: &str) {
    let response = server.admin().post(PATH, rule);
    assert_eq!(response.pointers(), [pointer], "{response:#?}");
}

fn a_rule_that_would_trust_too_much_is_refused(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({}));
    let good = || rule(&partner);
    let claims = |claims: Value| with(good(), "claims", claims);
    refused(&server, claims(json!({})), "/claims");
    refused(
        &server,
        claims(json!({"repository": "acme/app"})),
        "/claims",
    );
    refused(
        &server,
        claims(json!({"repository_id": []})),
        "/claims/repository_id",
    );
    refused(
        &server,
        claims(json!({"repository_id": "1", "sub": "repo:acme/*"})),
        "/claims/sub",
    );
    refused(
        &server,
        claims(json!({"repository_id": "1", "aud": "x"})),
        "/claims/aud",
    );
    let gitlab = with(
        claims(json!({"project_path": "acme/app"})),
        "issuer",
        json!("https://gitlab.com"),
    );
    refused(&server, gitlab, "/claims");
    for issuer in [
        "http://ci.example",
        "http://127.0.0.1:1",
        "ci.example",
        "https://a@b.example",
        "",
    ] {
        refused(&server, with(good(), "issuer", json!(issuer)), "/issuer");
    }
    refused(&server, with(good(), "audience", json!("")), "/audience");
    refused(
        &server,
        with(good(), "token_ttl_seconds", json!(59)),
        "/token_ttl_seconds",
    );
    refused(
        &server,
        with(good(), "token_ttl_seconds", json!(3601)),
        "/token_ttl_seconds",
    );
    refused(
        &server,
        with(good(), "org_plans", json!(["gold"])),
        "/org_plans/0",
    );
    refused(
        &server,
        with(good(), "scopes", json!(["orgs:fly"])),
        "/scopes/0",
    );
    refused(
        &server,
        with(good(), "created_at", json!(null)),
        "/created_at",
    );
    refused(
        &server,
        with(good(), "max_live_orgs", json!(-1)),
        "/max_live_orgs",
    );
    let missing = "ptn_01HXKM4000000000000000000A";
    refused(&server, rule(missing), "/partner_id");
    let many: serde_json::Map<String, Value> =
        (0..17).map(|n| (format!("c{n}"), json!("x"))).collect();
    refused(&server, claims(Value::Object(many)), "/claims");
    let made = server.admin().post(PATH, good()).expect(201);
    for (change, pointer) in [
        (json!({"claims": {"repository_id": null}}), "/claims"),
        (json!({"claims": null}), "/claims"),
        (json!({"partner_id": partner}), "/partner_id"),
        (json!({"issuer": "https://gitlab.com"}), "/claims"),
        (json!({"name": null}), "/name"),
    ] {
        let response = server.admin().patch(&path(&made), change);
        assert_eq!(response.pointers(), [pointer], "{response:#?}");
    }
    assert_eq!(server.admin().get(&path(&made)).expect(200), made);
}

fn a_rule_is_of_a_partner_whose_plan_includes_keys(store: Store) {
    let server = store.start();
    for plan in ["free", "standard"] {
        let partner = server.partner(json!({"plan": plan}));
        let response = server.admin().post(PATH, rule(&partner));
        response.problem(403, "partner-plan-required");
    }
    assert_eq!(server.admin().all(PATH), [Value::Null; 0]);
}

fn a_partner_has_a_bounded_number_of_rules(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({}));
    for _ in 0..100 {
        server.admin().post(PATH, rule(&partner)).expect(201);
    }
    refused(&server, rule(&partner), "/partner_id");
    let other = server.partner(json!({}));
    server.admin().post(PATH, rule(&other)).expect(201);
}
