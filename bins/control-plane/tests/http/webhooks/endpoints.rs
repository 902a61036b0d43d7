//! Endpoints: made, read, listed, deleted, by their partner alone.

use serde_json::{Value, json};

use super::{EVERYTHING, ON_THIS_MACHINE, deliveries, endpoint, path};
use crate::kit::{ALL_SCOPES, ORG_SCOPES, Reaction, Receiver, Store};

on_both_engines![
    an_endpoint_is_created_read_listed_and_deleted,
    an_endpoint_is_its_partners_alone,
    an_endpoint_is_changed_paused_and_sent_what_it_has_missed,
    errors_of_an_endpoint_have_pointers,
    a_partner_has_sixteen_endpoints_at_the_most,
    a_key_that_is_bound_to_an_org_can_not_manage_webhooks,
];

const URL: &str = "https://hooks.invalid/molecule?team=1";

fn an_endpoint_is_created_read_listed_and_deleted(store: Store) {
    let server = store.start();
    let key = server.key(&["webhooks:manage"]);
    let request = json!({"url": URL, "events": ["key.revoked", "org.ready", "org.ready"]});
    let response = key.post("/cp/webhook-endpoints", request);
    let mut created = response.expect(201);
    assert_eq!(response.header("location"), path(&created));
    assert!(created["id"].as_str().unwrap().starts_with("whe_"));
    let secret = created.as_object_mut().unwrap().remove("secret").unwrap();
    assert!(secret.as_str().unwrap().starts_with("whsec_"));
    let expect = json!({
        "id": created["id"], "partner_id": key.partner_id(), "url": URL,
        "events": ["org.ready", "key.revoked"], "status": "active",
        "created_at": created["created_at"], "disabled_at": null, "disabled_reason": null,
        "old_secret_expires_at": null,
    });
    assert_eq!(created, expect);
    assert_eq!(key.get(&path(&created)).expect(200), created);
    let second = endpoint(&key, URL, EVERYTHING);
    let listed = key.all("/cp/webhook-endpoints");
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["id"], second["id"], "the newest first");
    assert_eq!(listed[1], created);
    let first_page = key.get("/cp/webhook-endpoints?limit=1").expect(200);
    let cursor = first_page["next_cursor"].as_str().unwrap();
    let next = key.get(&format!("/cp/webhook-endpoints?limit=1&cursor={cursor}"));
    assert_eq!(next.expect(200)["data"], json!([created]));
    assert_eq!(deliveries(&key, &created), [Value::Null; 0]);

    assert_eq!(key.delete(&path(&created)).status, 204);
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("PATCH", ""),
        ("POST", "/redeliver"),
    ] {
        let body = match (method, rest) {
            ("PATCH", _) => json!({}),
            (_, "/redeliver") => json!({"since": "2026-04-23T08:00:00Z", "status": "failed"}),
            _ => Value::Null,
        };
        let asked = key.call(method, &format!("{}{rest}", path(&created)), body);
        asked.problem(404, "not-found");
    }
    assert_eq!(key.all("/cp/webhook-endpoints").len(), 1);
}

fn an_endpoint_is_its_partners_alone(store: Store) {
    let server = store.start();
    let (key, unrelated) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let created = endpoint(&key, URL, EVERYTHING);
    let test = key
        .post(&format!("{}/test", path(&created)), Value::Null)
        .expect(200);
    let again = format!("/deliveries/{}/redeliver", test["id"].as_str().unwrap());
    let missing = path(&json!({"id": "whe_01HXKM4000000000000000000A"}));
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", &again),
    ] {
        let ask = |path: &str| {
            let response = unrelated.call(method, &format!("{path}{rest}"), Value::Null);
            let mut problem = response.problem(404, "not-found");
            problem.as_object_mut().unwrap().remove("request_id");
            problem
        };
        assert_eq!(ask(&path(&created)), ask(&missing), "{method} {rest}");
    }
    assert_eq!(unrelated.all("/cp/webhook-endpoints"), [Value::Null; 0]);
    // Another key of the same partner sees it.
    let colleague = server.key_of(key.partner_id(), &["webhooks:manage"]);
    assert_eq!(colleague.all("/cp/webhook-endpoints").len(), 1);
    server
        .admin()
        .get("/cp/webhook-endpoints")
        .problem(403, "not-permitted");
}

fn errors_of_an_endpoint_have_pointers(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let ask = |request: Value| key.post("/cp/webhook-endpoints", request).pointers();
    assert_eq!(ask(json!({})), ["/url", "/events"]);
    assert_eq!(ask(json!({"url": URL, "events": []})), ["/events"]);
    let odd = json!({"url": URL, "events": ["org.ready", "org.*", "webhook.test", 1]});
    assert_eq!(ask(odd), ["/events/1", "/events/2", "/events/3"]);
    let more = json!({"url": URL, "events": ["org.ready"], "secret": "whsec_x"});
    assert_eq!(ask(more), ["/secret"]);
    for url in [
        "http://hooks.example.com/",
        "https://user:pw@hooks.example.com/",
        "https://localhost:8443/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "",
    ] {
        assert_eq!(
            ask(json!({"url": url, "events": ["org.ready"]})),
            ["/url"],
            "{url}"
        );
    }
    assert_eq!(key.all("/cp/webhook-endpoints"), [Value::Null; 0]);
}

fn a_partner_has_sixteen_endpoints_at_the_most(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let created: Vec<Value> = (0..16).map(|_| endpoint(&key, URL, EVERYTHING)).collect();
    let request = json!({"url": URL, "events": ["org.ready"]});
    let refused = key.post("/cp/webhook-endpoints", request);
    assert_eq!(refused.pointers(), [""]);
    assert!(refused.body.contains("delete one"), "{refused:#?}");
    assert_eq!(key.delete(&path(&created[3])).status, 204);
    endpoint(&key, URL, EVERYTHING);
    endpoint(&server.key(ALL_SCOPES), URL, EVERYTHING);
}

fn a_key_that_is_bound_to_an_org_can_not_manage_webhooks(store: Store) {
    let server = store.start();
    let org = server.key(ALL_SCOPES).org("acme-corp");
    let admin = server.admin();
    let request = json!({"name": "a", "scopes": ["webhooks:manage"], "org_id": org["id"]});
    let refused = admin.post("/cp/admin/partner-keys", request);
    assert_eq!(refused.pointers(), ["/scopes"]);
    let bound = server.issue(json!({"scopes": ORG_SCOPES, "org_id": org["id"]}));
    let changed = admin.patch(&bound.path(), json!({"scopes": ALL_SCOPES}));
    assert_eq!(changed.pointers(), ["/scopes"]);
    bound
        .get("/cp/webhook-endpoints")
        .problem(403, "insufficient-scope");
}

fn an_endpoint_is_changed_paused_and_sent_what_it_has_missed(store: Store) {
    let receiver = Receiver::reacting(|n| Reaction::Status(if n == 0 { 500 } else { 200 }));
    let server = store.start_with(ON_THIS_MACHINE);
    let key = server.key(ALL_SCOPES);
    let created = endpoint(&key, &receiver.url(), &["org.ready"]);
    let path = path(&created);
    key.org("acme-one");
    super::settled(&key, &created, "pending");
    let paused = key.patch(&path, json!({"enabled": false})).expect(200);
    assert_eq!(
        (&paused["status"], &paused["disabled_reason"]),
        (&json!("disabled"), &json!("paused"))
    );
    key.org("acme-two");
    let delivery = super::settled(&key, &created, "failed");
    assert!(
        delivery["last_answer"]["error"]
            .as_str()
            .unwrap()
            .contains("paused")
    );
    let changes =
        json!({"enabled": true, "events": ["org.failed"], "url": format!("{}/b", receiver.url())});
    let active = key.patch(&path, changes).expect(200);
    assert_eq!(
        (
            &active["status"],
            &active["disabled_reason"],
            &active["disabled_at"]
        ),
        (&json!("active"), &Value::Null, &Value::Null)
    );
    assert_eq!(active["events"], json!(["org.failed"]));
    assert_eq!(key.get(&path).expect(200), active);
    let events = server.events("action=webhook.update");
    let changed: Vec<_> = events
        .iter()
        .map(|event| &event["details"]["changed"])
        .collect();
    assert_eq!(
        changed,
        [&json!(["enabled"]), &json!(["url", "events", "enabled"])]
    );
    assert!(
        !events[1].to_string().contains("x=1"),
        "the path may be a secret"
    );

    let redeliver = format!("{path}/redeliver");
    let since = created["created_at"].clone();
    let count = |more: Value| {
        let mut body = json!({"since": since, "status": "failed"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key.post(&redeliver, body).expect(202)["count"].clone()
    };
    assert_eq!(count(json!({"until": since})), 0);
    assert_eq!(count(json!({})), 1);
    assert_eq!(receiver.wait(2)[1].kind(), "org.ready");
    super::settled(&key, &created, "delivered");
    assert_eq!(count(json!({"until": null})), 0);

    for (body, pointers) in [
        (json!({}), &["/since", "/status"][..]),
        (json!({"since": since, "status": "delivered"}), &["/status"]),
        (
            json!({"since": "now", "status": "failed", "limit": 3}),
            &["/since", "/limit"],
        ),
    ] {
        assert_eq!(key.post(&redeliver, body).pointers(), pointers);
    }
    for (body, pointer) in [
        (json!({"url": null}), "/url"),
        (json!({"url": "ftp://hooks.example.com/"}), "/url"),
        (json!({"events": []}), "/events"),
        (json!({"enabled": "no"}), "/enabled"),
        (json!({"secret": "whsec_x"}), "/secret"),
    ] {
        assert_eq!(key.patch(&path, body).pointers(), [pointer]);
    }
}
