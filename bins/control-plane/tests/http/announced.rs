//! The announced flow, by its requests alone, and the story that the audit log tells of it.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Server, Store, eventually};

on_both_engines![
    the_announced_requests_work_as_they_stand,
    the_audit_log_tells_the_whole_story_in_order,
];

/// The announcement's lines show an `Authorization` and a body, and no `Content-Type`.
#[track_caller]
fn post_as_announced(caller: &Caller, path: &str, body: &str) -> Value {
    caller.send("POST", path, &[], body.as_bytes()).expect(201)
}

fn the_announced_requests_work_as_they_stand(store: Store) {
    let server = store.start();
    let issued = post_as_announced(
        &server.admin(),
        "/cp/admin/partner-keys",
        r#"{ "name": "acme-ci-pipeline", "scopes": ["orgs:create", "orgs:list"], "org_id": null }"#,
    );
    assert!(issued["id"].as_str().unwrap().starts_with("pak_"));
    assert_eq!(issued["name"], "acme-ci-pipeline");
    assert_eq!(issued["scopes"], json!(["orgs:create", "orgs:list"]));
    assert_eq!(issued["org_id"], Value::Null);
    assert!(issued["created_at"].as_str().unwrap().ends_with('Z'));
    let secret = issued["key"].as_str().unwrap();
    assert!(secret.starts_with("mol_pk_"));
    let key = server.with_token(secret);

    let org = post_as_announced(
        &key,
        "/cp/orgs",
        r#"{ "name": "acme-corp", "slug": "acme-corp", "plan": "standard" }"#,
    );
    assert!(org["id"].as_str().unwrap().starts_with("org_"));
    assert_eq!(org["slug"], "acme-corp");
    assert_eq!(org["status"], "provisioning");
    assert!(org["created_at"].as_str().unwrap().ends_with('Z'));

    let id = org["id"].as_str().unwrap();
    let ready = eventually("the org is ready", || {
        let status = key.get(&format!("/cp/orgs/{id}/status")).expect(200);
        (status["status"] == "ready").then_some(status)
    });
    assert_eq!(
        ready["login_url"],
        "https://app.moleculesai.app/login?org=acme-corp"
    );
    let listed = key.get("/cp/orgs").expect(200);
    assert_eq!(listed["data"][0]["id"], id);

    let own = format!("/cp/admin/partner-keys/{}", issued["id"].as_str().unwrap());
    let gone = key.delete(&own);
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    key.get("/cp/orgs").problem(401, "key-revoked");
    // The org stays, only the automation path is closed.
    let kept = server
        .admin()
        .get(&format!("/cp/admin/orgs/{id}"))
        .expect(200);
    assert_eq!(kept["status"], "ready");
}

fn the_audit_log_tells_the_whole_story_in_order(store: Store) {
    let server = store.start();
    let key = server.issue(json!({"name": "reseller", "scopes": ALL_SCOPES, "org_id": null}));
    let mut actual = vec![line(
        "admin",
        "key.create",
        201,
        "POST /cp/admin/partner-keys",
    )];
    let mut tell = |action, status, route: &str| {
        actual.push(line("partner_key", action, status, route));
    };

    let created = key.send(
        "POST",
        "/cp/orgs",
        &[("x-request-id", "run-1.create")],
        br#"{"name": "acme-corp", "slug": "acme-corp", "plan": "standard"}"#,
    );
    let org = created.expect(201);
    let id = org["id"].as_str().unwrap();
    assert_eq!(created.header("location"), format!("/cp/orgs/{id}"));
    tell("org.create", 201, "POST /cp/orgs");
    key.wait(id, "ready");
    key.get("/cp/orgs").expect(200);
    tell("org.list", 200, "GET /cp/orgs");
    let workspaces = format!("/cp/orgs/{id}/workspaces");
    key.post(&workspaces, json!({"name": "QA"})).expect(201);
    tell("workspace.create", 201, "POST /cp/orgs/{id}/workspaces");
    key.get(&format!("/cp/orgs/{id}/billing")).expect(200);
    tell("billing.read", 200, "GET /cp/orgs/{id}/billing");
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    tell("org.delete", 202, "DELETE /cp/orgs/{id}");
    key.wait(id, "deleted");
    assert_eq!(key.delete(&format!("/cp/orgs/{id}")).status, 204);
    tell("org.delete", 204, "DELETE /cp/orgs/{id}");
    assert_eq!(key.delete(&key.path()).status, 204);
    tell("key.revoke", 204, "DELETE /cp/admin/partner-keys/{id}");
    key.get("/cp/whoami").problem(401, "key-revoked");
    tell("credential.read", 401, "GET /cp/whoami");

    let events = story(&server, key.id(), id);
    let (polls, calls): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(|event| event["actor"]["type"] != "system")
        .partition(|event| event["action"] == "org.status");
    assert!(polls.len() >= 2, "{polls:#?}");
    assert_eq!(
        calls.iter().map(|event| line_of(event)).collect::<Vec<_>>(),
        actual
    );

    let create = calls
        .iter()
        .find(|event| event["action"] == "org.create")
        .unwrap();
    assert_eq!(create["id"], created.event());
    assert_eq!(create["request_id"], "run-1.create");
    assert_eq!(create["actor"]["id"], key.id());
    assert_eq!(create["actor"]["partner_id"], key.partner_id());
    assert_eq!(create["target"], json!({"type": "org", "id": id}));
    assert_eq!(create["ip"], "127.0.0.1");

    let place = |action: &str| {
        let mut places = events
            .iter()
            .enumerate()
            .filter(|(_, event)| event["action"] == action);
        let place = places.next().unwrap_or_else(|| panic!("no {action}"));
        assert!(
            places.next().is_none() || action == "org.delete",
            "{action} twice"
        );
        place
    };
    for (action, after, before) in [
        ("org.provisioned", "org.create", "org.list"),
        ("org.deleted", "org.delete", "key.revoke"),
    ] {
        let (at, event) = place(action);
        assert!(
            place(after).0 < at && at < place(before).0,
            "{action}: {events:#?}"
        );
        assert_eq!(event["actor"]["type"], "system");
        assert_eq!(event["actor"]["partner_id"], key.partner_id());
        assert_eq!(event["target"], json!({"type": "org", "id": id}));
        assert_eq!(event["outcome"], "success");
        for member in ["status_code", "method", "route", "request_id", "ip"] {
            assert_eq!(event[member], Value::Null, "{member} of {event:#}");
        }
    }
}

/// Every event of the key, created by it, and of the org.
fn story(server: &Server, key: &str, org: &str) -> Vec<Value> {
    let about = |event: &Value| {
        event["actor"]["id"] == key || event["target"]["id"] == key || event["target"]["id"] == org
    };
    let mut events = server.events("");
    events.retain(about);
    events
}

fn line(actor: &str, action: &str, status: u16, route: &str) -> String {
    let outcome = if status < 400 { "success" } else { "denied" };
    format!("{actor} {action} {outcome} {status} {route}")
}

fn line_of(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    format!(
        "{} {} {} {} {} {}",
        text(&event["actor"]["type"]),
        text(&event["action"]),
        text(&event["outcome"]),
        event["status_code"],
        text(&event["method"]),
        text(&event["route"]),
    )
}
