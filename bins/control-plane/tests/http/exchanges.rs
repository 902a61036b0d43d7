//! The exchange of pipelines' tokens for keys, with an issuer on this machine.

mod forms;
mod issuers;
mod limits;
mod rules;

use serde_json::{Value, json};
use testkit::issuer::{Issuer, TestKey};

use crate::kit::{Caller, Response, Server, Store, eventually};

on_both_engines![
    a_token_is_exchanged_for_a_key_like_any_other,
    a_key_ends_with_its_token_and_has_its_labels,
    a_token_is_exchanged_once_on_all_instances,
    a_token_that_is_not_trusted_is_refused_with_the_reason,
    the_scopes_of_a_key_are_those_asked_for,
    refusals_are_recorded_for_those_who_may_know,
];

/// The issuer is on this machine.
pub const ON_THIS_MACHINE: &[(&str, &str)] = &[("MOLECULE_CP_OIDC_ALLOW_PRIVATE", "true")];
pub const AUDIENCE: &str = "https://cp.example";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What GitHub says of a job, with ids in the subject.
pub fn job() -> Value {
    json!({
        "sub": "repo:acme@7/app@42:ref:refs/heads/main", "repository": "acme/app", "repository_id": "42",
        "repository_owner_id": "7", "event_name": "push", "ref": "refs/heads/main", "run_id": "99",
        "sha": "5f2e1c", "actor": "ann",
    })
}

/// A rule of a partner of its own for jobs of this issuer.
#[track_caller]
pub fn rule(server: &Server, issuer: &Issuer, more: Value) -> Value {
    let mut rule = json!({
        "name": "acme-deploy", "partner_id": server.partner(json!({})), "issuer": issuer.url(), "audience": AUDIENCE,
        "claims": {"repository_id": "42", "ref": "refs/heads/main"}, "refuse": {"event_name": ["pull_request_target"]},
        "scopes": ["orgs:create", "orgs:list", "audit:read"],
    });
    for (name, value) in more.as_object().unwrap() {
        rule[name] = value.clone();
    }
    server
        .admin()
        .post("/cp/admin/trust-rules", rule)
        .expect(201)
}

/// A token of a job with other claims.
pub fn token(issuer: &Issuer, more: Value) -> String {
    let mut claims = job();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    issuer.token(TestKey::Rsa1, AUDIENCE, &claims)
}

pub fn form(parameters: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    form.finish()
}

/// Asks for an exchange by this form.
#[track_caller]
pub fn send(caller: &Caller, form: &str) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    caller.send("POST", "/cp/token", &headers, form.as_bytes())
}

#[track_caller]
pub fn exchange(caller: &Caller, rule: &Value, token: &str) -> Response {
    let rule = rule["id"].as_str().unwrap();
    let form = form(&[
        ("grant_type", GRANT),
        ("subject_token", token),
        ("subject_token_type", JWT),
        ("trust_rule", rule),
    ]);
    send(caller, &form)
}

/// The description of an error of OAuth.
#[track_caller]
pub fn refused(response: &Response, status: u16, error: &str) -> String {
    let body = response.expect(status);
    assert_eq!(body["error"], error, "{response:#?}");
    assert_eq!(response.header("cache-control"), "no-store");
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["error", "error_description"], "{response:#?}");
    let description = body["error_description"].as_str().unwrap();
    assert!(!description.is_empty(), "{response:#?}");
    description.to_owned()
}

fn a_token_is_exchanged_for_a_key_like_any_other(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(
        &server,
        &issuer,
        json!({"max_live_orgs": 1, "org_plans": ["standard"]}),
    );
    for key in [TestKey::Rsa1, TestKey::P256One] {
        let token = issuer.token(key, AUDIENCE, &job());
        let response = exchange(&server.anon(), &rule, &token);
        let answer = response.expect(200);
        assert_eq!(response.header("cache-control"), "no-store");
        let members: Vec<_> = answer.as_object().unwrap().keys().collect();
        let expect = [
            "access_token",
            "expires_in",
            "issued_token_type",
            "key_id",
            "scope",
            "token_type",
        ];
        assert_eq!(members, expect);
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(
            answer["issued_token_type"],
            "urn:ietf:params:oauth:token-type:access_token"
        );
        assert_eq!(answer["scope"], "orgs:create orgs:list audit:read");
        let expires_in = answer["expires_in"].as_i64().unwrap();
        assert!((590..=600).contains(&expires_in), "{answer}");
        let event = server.events("action=token.exchange&outcome=success");
        let event = event.last().unwrap();
        assert_eq!(event["id"], response.event());
        assert_eq!(
            event["target"],
            json!({"type": "trust_rule", "id": rule["id"]})
        );
        assert_eq!(event["actor"]["type"], "system");
        assert_eq!(event["actor"]["partner_id"], rule["partner_id"]);
        assert_eq!(event["details"]["key_id"], answer["key_id"]);
        assert_eq!(
            event["details"]["subject"],
            "repo:acme@7/app@42:ref:refs/heads/main"
        );
        assert_eq!(event["route"], "/cp/token");

        let key = server.with_token(answer["access_token"].as_str().unwrap());
        let whoami = key.get("/cp/whoami").expect(200);
        assert_eq!(whoami["credential"]["id"], answer["key_id"]);
        assert_eq!(whoami["partner"]["id"], rule["partner_id"]);
        let id = answer["key_id"].as_str().unwrap();
        let path = format!("/cp/admin/partner-keys/{id}");
        let resource = server.admin().get(&path).expect(200);
        assert_eq!(resource["created_by"], rule["id"]);
        assert_eq!(resource["name"], rule["name"]);
        assert_eq!(resource["max_live_orgs"], 1);
        assert_eq!(resource["org_plans"], json!(["standard"]));
        key.get("/cp/audit-events").expect(200);
        key.get("/cp/webhook-endpoints")
            .problem(403, "insufficient-scope");
        // It can be thrown away when the job is done.
        assert_eq!(key.delete(&path).status, 204);
        key.get("/cp/whoami").problem(401, "key-revoked");
    }
}

fn a_key_ends_with_its_token_and_has_its_labels(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({"token_ttl_seconds": 120}));
    let key = |more: Value| {
        let answer = exchange(&server.anon(), &rule, &token(&issuer, more)).expect(200);
        let id = answer["key_id"].as_str().unwrap();
        let path = format!("/cp/admin/partner-keys/{id}");
        (
            answer["expires_in"].as_i64().unwrap(),
            server.admin().get(&path).expect(200),
        )
    };
    let (expires_in, resource) = key(json!({}));
    assert!((118..=120).contains(&expires_in), "{expires_in}");
    let labels = json!({"repository": "acme/app", "run_id": "99", "sha": "5f2e1c"});
    assert_eq!(resource["labels"], labels);
    let now = issuer.claims(AUDIENCE, &json!({}))["iat"].as_i64().unwrap();
    let (expires_in, resource) = key(json!({
        "exp": now + 30, "run_id": 7, "sha": "x".repeat(300), "repository": ["acme/app"],
    }));
    assert!((1..=30).contains(&expires_in), "{expires_in}");
    assert_eq!(resource["labels"], json!({"run_id": "7"}));
    let (expires_in, resource) = key(json!({"exp": now + 2, "repository": "a\nb", "run_id": null}));
    assert!((0..=2).contains(&expires_in), "{expires_in}");
    assert_eq!(resource["labels"], json!({"sha": "5f2e1c"}));
    let path = format!(
        "/cp/admin/partner-keys/{}",
        resource["id"].as_str().unwrap()
    );
    eventually("the key has expired", || {
        (server.admin().get(&path).expect(200)["status"] == "expired").then_some(())
    });
}

fn a_token_is_exchanged_once_on_all_instances(store: Store) {
    let servers = [
        store.start_with(ON_THIS_MACHINE),
        store.start_with(ON_THIS_MACHINE),
    ];
    let issuer = Issuer::start();
    let rule = rule(&servers[0], &issuer, json!({}));
    for with_id in [true, false] {
        let more = if with_id {
            json!({})
        } else {
            json!({"jti": null})
        };
        let token = token(&issuer, more);
        let answers: Vec<Response> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..20)
                .map(|n| {
                    let (caller, rule, token) = (servers[n % 2].anon(), &rule, &token);
                    scope.spawn(move || exchange(&caller, rule, token))
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let exchanged = answers.iter().filter(|answer| answer.status == 200);
        assert_eq!(exchanged.count(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let why = refused(answer, 400, "invalid_grant");
            assert!(why.contains("exchanged before"), "{why}");
        }
    }
    let keys = servers[0].admin().all("/cp/admin/partner-keys");
    assert_eq!(keys.len(), 2);
}

fn a_token_that_is_not_trusted_is_refused_with_the_reason(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let now = issuer.claims(AUDIENCE, &json!({}))["iat"].as_i64().unwrap();
    for (more, part) in [
        (json!({"iss": "https://ci.example"}), "claim iss"),
        (json!({"aud": "https://other.example"}), "claim aud"),
        (json!({"aud": ["https://other.example"]}), "claim aud"),
        (json!({"exp": now - 61}), "claim exp"),
        (json!({"exp": null}), "claim exp"),
        (json!({"exp": "soon"}), "claim exp"),
        (json!({"nbf": now + 90}), "claim nbf"),
        (json!({"iat": now + 90}), "claim iat"),
        (json!({"jti": 5}), "claim jti"),
        (json!({"repository_id": "43"}), "claim repository_id"),
        (json!({"repository_id": ["42"]}), "claim repository_id"),
        (json!({"repository_id": {"42": 1}}), "claim repository_id"),
        (json!({"repository_id": null}), "claim repository_id"),
        // A pull request from a fork: its ref is one of its own.
        (
            json!({"ref": "refs/pull/7/merge", "event_name": "pull_request"}),
            "claim ref",
        ),
        (
            json!({"event_name": "pull_request_target"}),
            "claim event_name",
        ),
    ] {
        let response = exchange(&server.anon(), &rule, &token(&issuer, more.clone()));
        let why = refused(&response, 400, "invalid_grant");
        assert!(why.contains(part), "{more}: {why}");
        for wanted in [AUDIENCE, "42", "refs/heads/main"] {
            assert!(!why.contains(wanted), "{more}: {why}");
        }
    }
    for more in [
        json!({"aud": ["https://other.example", AUDIENCE]}),
        json!({"exp": now - 20}),
        json!({"nbf": now + 40, "iat": now + 40}),
        json!({"repository_id": 42}),
    ] {
        exchange(&server.anon(), &rule, &token(&issuer, more)).expect(200);
    }
}

fn the_scopes_of_a_key_are_those_asked_for(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let ask = |scope: &str| {
        let token = token(&issuer, json!({}));
        let form = form(&[
            ("grant_type", GRANT),
            ("subject_token", &token),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            ),
            ("trust_rule", rule["id"].as_str().unwrap()),
            ("scope", scope),
        ]);
        send(&server.anon(), &form)
    };
    assert_eq!(ask("orgs:list").expect(200)["scope"], "orgs:list");
    assert_eq!(
        ask("audit:read orgs:list").expect(200)["scope"],
        "orgs:list audit:read"
    );
    assert_eq!(
        ask("").expect(200)["scope"],
        "orgs:create orgs:list audit:read"
    );
    for scope in [
        "orgs:delete",
        "orgs:list orgs:delete",
        "orgs:fly",
        "orgs:list,orgs:create",
    ] {
        refused(&ask(scope), 400, "invalid_scope");
    }
    let answer = ask("orgs:list").expect(200);
    let key = server.with_token(answer["access_token"].as_str().unwrap());
    key.get("/cp/orgs").expect(200);
    key.get("/cp/audit-events")
        .problem(403, "insufficient-scope");
}

fn refusals_are_recorded_for_those_who_may_know(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let token = token(&issuer, json!({"ref": "refs/heads/x"}));
    let response = exchange(&server.anon(), &rule, &token);
    refused(&response, 400, "invalid_grant");
    let event = &server.events("action=token.exchange")[0];
    assert_eq!(event["id"], response.event());
    assert_eq!(event["outcome"], "denied");
    assert_eq!(event["status_code"], 400);
    assert_eq!(event["target"]["id"], rule["id"]);
    assert_eq!(event["details"]["reason"], "claim");
    let detail = event["details"]["detail"].as_str().unwrap();
    assert!(detail.contains("claim ref"), "{detail}");
    let text = event.to_string();
    assert!(
        !text.contains(&token) && !text.contains("refs/heads"),
        "{text}"
    );
    // The partner sees what its pipelines are refused, and no other partner does.
    let own = server.key_of(rule["partner_id"].as_str().unwrap(), &["audit:read"]);
    let seen = own.all("/cp/audit-events?action=token.exchange");
    assert_eq!(seen.len(), 1);
    let foreign = server.key(&["audit:read"]);
    assert_eq!(
        foreign.all("/cp/audit-events?action=token.exchange"),
        [Value::Null; 0]
    );
    let unknown = json!({"id": "tru_01HXKM4000000000000000000A"});
    let response = exchange(&server.anon(), &unknown, &token);
    refused(&response, 400, "invalid_grant");
    assert_eq!(response.header_if_any("audit-event-id"), None);
    assert_eq!(server.events("action=token.exchange").len(), 1);
    let metrics = server.anon().get("/metrics").body;
    assert!(
        metrics.contains(r#"molecule_token_exchanges_total{outcome="claim"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"molecule_token_exchanges_total{outcome="no-rule"} 1"#),
        "{metrics}"
    );
    assert!(!server.log().contains(&token));
}
