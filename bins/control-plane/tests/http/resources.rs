//! Resources are read back as they were created, with their defaults. The matrix of all operations compares
//! their members with the schemas.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Store};

on_both_engines![
    a_partner_is_read_back,
    a_key_is_read_back_without_its_secret,
    an_org_is_read_back_until_it_is_deleted,
    the_status_of_an_org_has_its_steps,
    a_ready_org_has_a_workspace,
    a_new_org_is_billed_from_its_creation,
    an_event_has_the_client_of_its_request,
    whoami_shows_the_credential_and_its_limits,
];

#[track_caller]
fn is_null(resource: &Value, members: &[&str]) {
    for member in members {
        assert_eq!(
            resource.get(member),
            Some(&Value::Null),
            "{member} of {resource:#}"
        );
    }
}

fn a_partner_is_read_back(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let bare = admin
        .post(
            "/cp/admin/partners",
            json!({"name": "Acme", "plan": "standard"}),
        )
        .expect(201);
    is_null(&bare, &["rate_limit", "max_orgs"]);
    assert_eq!(
        (&bare["plan"], &bare["labels"]),
        (&json!("standard"), &json!({}))
    );
    let full = json!({
        "name": "Acme", "plan": "enterprise", "labels": {"a": "b"}, "max_orgs": 7,
        "rate_limit": {"limit": 9, "window_seconds": 10},
    });
    let created = admin.post("/cp/admin/partners", full.clone()).expect(201);
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&created[name], value);
    }
    let path = format!("/cp/admin/partners/{}", created["id"].as_str().unwrap());
    assert_eq!(admin.get(&path).expect(200), created);
    assert_eq!(admin.all("/cp/admin/partners"), [created, bare]);
}

fn a_key_is_read_back_without_its_secret(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list", "orgs:create"]);
    let created = key.resource();
    is_null(
        created,
        &[
            "org_id",
            "org_plans",
            "expires_at",
            "allowed_cidrs",
            "max_live_orgs",
            "last_used_at",
            "revoked_at",
        ],
    );
    assert_eq!(created["key_prefix"], key.token()[..12]);
    assert_eq!(
        created["rate_limit"],
        json!({"limit": 600, "window_seconds": 60})
    );
    assert_eq!(
        (&created["disabled"], &created["status"]),
        (&json!(false), &json!("active"))
    );
    assert_eq!(
        (&created["on_revoke"], &created["labels"]),
        (&json!("keep"), &json!({}))
    );

    let full = json!({
        "name": "tier", "scopes": ["orgs:create"], "org_plans": ["free", "standard"],
        "rate_limit": {"limit": 9, "window_seconds": 10}, "expires_at": "2099-01-01T00:00:00.000000Z",
        "labels": {"tier": "one"}, "on_revoke": "keep", "partner_id": key.partner_id(),
    });
    let other = server.issue(full.clone());
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&other.resource()[name], value, "{name}");
    }
    let in_days = server.issue(json!({"scopes": ["orgs:list"], "expires_in_days": 30}));
    assert!(in_days.resource()["expires_at"].is_string());

    key.get("/cp/whoami").expect(200);
    let admin = server.admin();
    let read = admin.get(&key.path()).expect(200);
    assert_eq!(read.get("key"), None);
    assert!(read["last_used_at"].is_string());
    assert!(admin.all("/cp/admin/partner-keys").contains(&read));
    // A key of its own partner: of its name, on plan partner.
    let path = format!("/cp/admin/partners/{}", key.partner_id());
    let partner = admin.get(&path).expect(200);
    assert_eq!(
        (&partner["name"], &partner["plan"]),
        (&created["name"], &json!("partner"))
    );
}

fn an_org_is_read_back_until_it_is_deleted(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let request = json!({
        "name": "Acme Corp", "slug": "acme-corp", "plan": "enterprise", "external_id": "crm/7",
        "labels": {"run_id": "1:2"},
    });
    let created = key.post("/cp/orgs", request.clone()).expect(201);
    for (name, value) in request.as_object().unwrap() {
        assert_eq!(&created[name], value);
    }
    assert_eq!(created["partner_id"], key.partner_id());
    assert_eq!(created["created_by_key_id"], key.id());
    assert_eq!(
        created["login_url"],
        "https://app.moleculesai.app/login?org=acme-corp"
    );
    is_null(
        &created,
        &["ready_at", "expires_at", "deleted_at", "failure"],
    );
    let id = created["id"].as_str().unwrap();
    key.wait(id, "ready");
    let mut ready = key.get(&format!("/cp/orgs/{id}")).expect(200);
    let admins = server
        .admin()
        .get(&format!("/cp/admin/orgs/{id}"))
        .expect(200);
    assert_eq!(admins, ready);
    assert_eq!(key.all("/cp/orgs"), [ready.clone()]);
    ready["ready_at"] = Value::Null;
    ready["status"] = json!("provisioning");
    assert_eq!(ready, created);
    let going = key.delete(&format!("/cp/orgs/{id}")).expect(202);
    assert_eq!(going["status"], "deprovisioning");
    key.wait(id, "deleted");
}

fn the_status_of_an_org_has_its_steps(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:create"]);
    let org = key.org("acme-corp");
    let response = key.get(&format!("/cp/orgs/{}/status", org["id"].as_str().unwrap()));
    let status = response.expect(200);
    for member in ["id", "slug", "status", "created_at", "login_url"] {
        assert_eq!(status[member], org[member]);
    }
    is_null(&status, &["failure"]);
    let steps = status["steps"].as_array().unwrap();
    assert!(!steps.is_empty());
    for step in steps {
        assert!(step["attempts"].as_u64().unwrap() >= 1, "{step:#}");
    }
    assert_eq!(response.header_if_any("retry-after"), None);
}

fn a_ready_org_has_a_workspace(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let path = format!("/cp/orgs/{}/workspaces", org["id"].as_str().unwrap());
    let first = key.get(&path).expect(200);
    assert_eq!(first["data"].as_array().unwrap().len(), 1);
    assert_eq!(first["data"][0]["slug"], "default");
    let created = key
        .post(&path, json!({"name": "QA", "slug": "qa-lab"}))
        .expect(201);
    assert_eq!(
        (&created["name"], &created["slug"]),
        (&json!("QA"), &json!("qa-lab"))
    );
    let listed = key.all(&path);
    assert_eq!(listed[0], created);
    for workspace in &listed {
        assert_eq!(workspace["org_id"], org["id"]);
    }
}

fn a_new_org_is_billed_from_its_creation(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let billing = key
        .get(&format!("/cp/orgs/{}/billing", org["id"].as_str().unwrap()))
        .expect(200);
    let subscription = &billing["subscription"];
    assert_eq!(billing["org_id"], org["id"]);
    assert_eq!(billing["plan"], "standard");
    assert_eq!(subscription["status"], "active");
    is_null(subscription, &["cancel_at"]);
}

fn an_event_has_the_client_of_its_request(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let agent = [("user-agent", "acme-ci/1.2")];
    key.send("GET", "/cp/orgs", &agent, b"").expect(200);
    key.org("acme-corp");
    key.get("/cp/admin/partners").problem(403, "not-permitted");
    for event in server.events("") {
        assert!(event["details"].is_object(), "{event:#}");
    }
    let listed = server.events(&format!("key_id={}&action=org.list", key.id()));
    assert_eq!(listed[0]["user_agent"], "acme-ci/1.2");
}

fn whoami_shows_the_credential_and_its_limits(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let admins = server.admin().get("/cp/whoami").expect(200);
    let keys = key.get("/cp/whoami").expect(200);
    for who in [&admins, &keys] {
        let limits = who["limits"].as_array().unwrap();
        assert_eq!(limits.len(), 1);
    }
    is_null(&admins, &["partner"]);
    assert_eq!(keys["credential"]["id"], key.id());
    assert_eq!(keys["credential"]["scopes"], json!(["orgs:list"]));
    assert_eq!(keys["partner"]["id"], key.partner_id());
    assert_eq!(
        keys["limits"][0],
        json!({"name": "key", "limit": 600, "window_seconds": 60, "remaining": 599})
    );
}
