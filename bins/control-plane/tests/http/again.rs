//! Calls that are sent again: the same response, one effect, and an event for each.

mod kills;
mod sealed;

use std::{collections::BTreeSet, sync::Barrier, thread};

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Response, Store};

on_both_engines![
    every_post_is_replayed_byte_for_byte,
    simultaneous_duplicates_create_one_org,
    another_body_is_refused,
    another_body_is_refused_while_the_first_call_runs,
    a_refused_call_can_be_repeated,
    the_quoted_and_the_bare_form_are_one_key,
    another_credential_or_path_is_another_call,
    a_header_without_a_key_in_it_is_refused,
    a_replay_is_limited_and_needs_credential_and_scope,
];

/// A call with an idempotency key, which is sent as it stands.
#[track_caller]
pub fn post(caller: &Caller, path: &str, key: &str, body: &Value) -> Response {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let headers = [("idempotency-key", key)];
    caller.send("POST", path, &headers, body.as_bytes())
}

fn org(slug: &str) -> Value {
    json!({"name": "Acme", "slug": slug, "plan": "free"})
}

#[track_caller]
pub fn is_replay(first: &Response, again: &Response) {
    assert_eq!(first.header_if_any("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), "true", "{again:#?}");
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for header in ["location", "content-type"] {
        assert_eq!(
            first.header_if_any(header),
            again.header_if_any(header),
            "{again:#?}"
        );
    }
    assert_ne!(first.event(), again.event());
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
}

fn every_post_is_replayed_byte_for_byte(store: Store) {
    let server = store.start();
    let (admin, key) = (server.admin(), server.key(ALL_SCOPES));
    let id = key.org("acme-ready")["id"].as_str().unwrap().to_owned();
    let on = |verb: &str| format!("/cp/admin/orgs/{id}/{verb}");
    for (caller, path, body) in [
        (
            &admin,
            "/cp/admin/partners".to_owned(),
            json!({"name": "p", "plan": "partner"}),
        ),
        (
            &admin,
            "/cp/admin/partner-keys".to_owned(),
            json!({"name": "k", "scopes": ["orgs:list"]}),
        ),
        (&admin, on("suspend"), Value::Null),
        (&admin, on("resume"), Value::Null),
        (&key, "/cp/orgs".to_owned(), org("acme-corp")),
        (
            &key,
            format!("/cp/orgs/{id}/workspaces"),
            json!({"name": "QA"}),
        ),
    ] {
        let first = post(caller, &path, "\"one-and-the-same\"", &body);
        assert!([200, 201].contains(&first.status), "{first:#?}");
        let again = [(); 2].map(|()| post(caller, &path, "\"one-and-the-same\"", &body));
        for again in &again {
            is_replay(&first, again);
            let of = |response: &Response| {
                let found = server.events("");
                let found = found.iter().find(|event| event["id"] == response.event());
                found.unwrap().clone()
            };
            let (actual, one) = (of(again), of(&first));
            for member in ["action", "outcome", "status_code", "target", "actor"] {
                assert_eq!(actual[member], one[member], "{member}: {actual:#}");
            }
            assert_eq!(actual["details"]["replayed"], true, "{actual:#}");
        }
        assert_ne!(again[0].event(), again[1].event());
    }
    assert_eq!(key.all("/cp/orgs").len(), 2);
    assert_eq!(key.all(&format!("/cp/orgs/{id}/workspaces")).len(), 2);
    // The secret that came again is the key's.
    let request = json!({"name": "k", "scopes": ["orgs:list"]});
    let again = post(
        &admin,
        "/cp/admin/partner-keys",
        "one-and-the-same",
        &request,
    );
    let token = again.expect(201)["key"].as_str().unwrap().to_owned();
    server.with_token(&token).get("/cp/orgs").expect(200);
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}")).expect(200)["status"],
        "ready"
    );
}

fn simultaneous_duplicates_create_one_org(store: Store) {
    const DUPLICATES: usize = 64;
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let start = Barrier::new(DUPLICATES);
    let responses: Vec<Response> = thread::scope(|scope| {
        let threads: Vec<_> = (0..DUPLICATES)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    post(&key, "/cp/orgs", "\"dup\"", &org("acme-corp"))
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (created, busy): (Vec<_>, Vec<_>) = responses.iter().partition(|it| it.status == 201);
    let bodies: BTreeSet<_> = created.iter().map(|response| &response.body).collect();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    let first = created
        .iter()
        .filter(|it| it.header_if_any("idempotency-replayed").is_none());
    assert_eq!(first.count(), 1);
    for response in busy {
        response.problem(409, "idempotency-in-progress");
    }
    assert_eq!(key.all("/cp/orgs").len(), 1);
    let named: BTreeSet<_> = responses.iter().map(Response::event).collect();
    assert_eq!(named.len(), DUPLICATES);
    let events = server.events(&format!("key_id={}&action=org.create", key.id()));
    assert_eq!(events.len(), DUPLICATES);
}

fn another_body_is_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let first = post(&key, "/cp/orgs", "k", &org("acme-one"));
    first.expect(201);
    let refused = post(&key, "/cp/orgs", "k", &org("acme-two"));
    let code = "idempotency-key-reused";
    assert_eq!(refused.json()["code"], code, "{refused:#?}");
    assert_eq!(refused.status, 422);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    refused.event();
    // A body that says the same in other bytes is another body to whoever compares bytes; what it
    // must never do is make a second org.
    let spaced = br#"{"plan": "free", "slug": "acme-one", "name": "Acme"}"#;
    let other = key.send("POST", "/cp/orgs", &[("idempotency-key", "k")], spaced);
    assert!([201, 422].contains(&other.status), "{other:#?}");
    is_replay(&first, &post(&key, "/cp/orgs", "k", &org("acme-one")));
    assert_eq!(key.all("/cp/orgs").len(), 1);
}

fn another_body_is_refused_while_the_first_call_runs(store: Store) {
    const CALLS: usize = 32;
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let start = Barrier::new(CALLS);
    let slug = |n: usize| ["acme-one", "acme-two"][n % 2];
    let responses: Vec<Response> = thread::scope(|scope| {
        let (key, start) = (&key, &start);
        let threads: Vec<_> = (0..CALLS)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    post(key, "/cp/orgs", "\"one\"", &org(slug(n)))
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let first = responses
        .iter()
        .position(|response| response.status == 201)
        .unwrap();
    for (n, response) in responses.iter().enumerate() {
        // Beside one of its own body, a call is in progress whatever becomes of that one.
        match response.status {
            409 => drop(response.problem(409, "idempotency-in-progress")),
            422 if slug(n) != slug(first) => drop(response.problem(422, "idempotency-key-reused")),
            201 if slug(n) == slug(first) => {}
            _ => panic!("{n} {first} {response:#?}"),
        }
    }
    assert_eq!(key.all("/cp/orgs").len(), 1);
    post(&key, "/cp/orgs", "\"one\"", &org(slug(first))).expect(201);
    post(&key, "/cp/orgs", "\"one\"", &org(slug(first + 1))).problem(422, "idempotency-key-reused");
}

fn a_refused_call_can_be_repeated(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let taken = key.org("acme-corp");
    post(&key, "/cp/orgs", "k", &org("acme-corp")).problem(409, "slug-taken");
    post(&key, "/cp/orgs", "k", &json!({})).pointers();
    post(&key, "/cp/orgs", "k", &org("no--slug")).pointers();
    let id = taken["id"].as_str().unwrap();
    assert_eq!(key.delete(&format!("/cp/orgs/{id}")).status, 202);
    key.wait(id, "deleted");
    let created = post(&key, "/cp/orgs", "k", &org("acme-corp"));
    created.expect(201);
    is_replay(&created, &post(&key, "/cp/orgs", "k", &org("acme-corp")));
    // Idempotency comes before the resource and its state.
    let missing = "/cp/orgs/org_01HXKM4000000000000000000A/workspaces";
    for _ in 0..2 {
        post(&key, missing, "k", &json!({"name": "QA"})).problem(404, "not-found");
    }
}

fn the_quoted_and_the_bare_form_are_one_key(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    let first = post(&key, "/cp/orgs", uuid, &org("acme-corp"));
    first.expect(201);
    for again in [format!("\"{uuid}\""), uuid.to_owned()] {
        is_replay(&first, &post(&key, "/cp/orgs", &again, &org("acme-corp")));
    }
    let longest = "x".repeat(255);
    post(&key, "/cp/orgs", &longest, &org("acme-long")).expect(201);
    // Keys are told apart by their case.
    let upper = uuid.to_uppercase();
    post(&key, "/cp/orgs", &upper, &org("acme-corp")).problem(409, "slug-taken");
    // On what is no POST it says nothing.
    let headers = [("idempotency-key", uuid)];
    key.send("GET", "/cp/orgs", &headers, b"").expect(200);
}

fn another_credential_or_path_is_another_call(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let sister = server.key_of(key.partner_id(), ALL_SCOPES);
    let unrelated = server.key(ALL_SCOPES);
    let first = post(&key, "/cp/orgs", "k", &org("acme-corp"));
    let created = first.expect(201);
    for other in [&sister, &unrelated] {
        let response = post(other, "/cp/orgs", "k", &org("acme-corp"));
        response.problem(409, "slug-taken");
        assert_eq!(response.header_if_any("idempotency-replayed"), None);
    }
    let id = created["id"].as_str().unwrap();
    key.wait(id, "ready");
    let workspaces = format!("/cp/orgs/{id}/workspaces");
    let response = post(&key, &workspaces, "k", &json!({"name": "QA"}));
    response.expect(201);
    assert_eq!(response.header_if_any("idempotency-replayed"), None);
    let of_admin = json!({"name": "p", "plan": "partner"});
    let response = post(&server.admin(), "/cp/admin/partners", "k", &of_admin);
    response.expect(201);
}

fn a_header_without_a_key_in_it_is_refused(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let long = "x".repeat(256);
    for wrong in ["", "\"\"", "\"a", "a\"", "a b", "\"a\"; x=1", &long] {
        let response = post(&key, "/cp/orgs", wrong, &org("acme-corp"));
        response.problem(400, "invalid-request");
        response.event();
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    let body = org("acme-corp").to_string();
    key.send("POST", "/cp/orgs", &twice, body.as_bytes())
        .problem(400, "invalid-request");
    assert_eq!(key.all("/cp/orgs"), [Value::Null; 0]);
}

fn a_replay_is_limited_and_needs_credential_and_scope(store: Store) {
    let server = store.start();
    let limit = json!({"limit": 4, "window_seconds": 3600});
    let key = server.issue(json!({"scopes": ALL_SCOPES, "rate_limit": limit}));
    let again = || post(&key, "/cp/orgs", "k", &org("acme-corp"));
    let first = again();
    first.expect(201);
    for left in [2, 1, 0] {
        let replay = again();
        is_replay(&first, &replay);
        let actual = replay.header("ratelimit");
        assert!(
            actual.starts_with(&format!("\"key\";r={left};")),
            "{actual}"
        );
    }
    again().problem(429, "rate-limited");
    post(&server.anon(), "/cp/orgs", "k", &org("acme-corp")).problem(401, "missing-credentials");
    let admin = server.admin();
    let change = |change: Value| admin.patch(&key.path(), change).expect(200);
    change(json!({"rate_limit": null, "scopes": ["orgs:list"]}));
    again().problem(403, "insufficient-scope");
    change(json!({"scopes": ["orgs:create"], "allowed_cidrs": ["10.0.0.0/8"]}));
    again().problem(403, "ip-not-allowed");
    change(json!({"allowed_cidrs": null, "disabled": true}));
    again().problem(401, "key-disabled");
    change(json!({"disabled": false}));
    is_replay(&first, &again());
}
