//! Every resource has exactly the contract's members, in the contract's types.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Store};

on_both_engines![
    a_partner_has_exactly_these_members,
    a_key_has_exactly_these_members,
    an_org_has_exactly_these_members,
    an_orgs_status_has_exactly_these_members,
    a_workspace_has_exactly_these_members,
    billing_has_exactly_these_members,
    an_event_has_exactly_these_members,
    whoami_has_exactly_these_members,
];

#[track_caller]
fn has_exactly(resource: &Value, members: &str) {
    let mut found: Vec<_> = resource.as_object().unwrap().keys().collect();
    let mut expect: Vec<_> = members.split_whitespace().collect();
    found.sort();
    expect.sort_unstable();
    assert_eq!(found, expect, "{resource:#}");
}

#[track_caller]
fn is_id(value: &Value, prefix: &str) {
    let text = value.as_str().unwrap_or_default();
    let ulid = text.strip_prefix(prefix).unwrap_or_default();
    let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    assert!(
        ulid.len() == 26 && ulid.chars().all(|c| alphabet.contains(c)),
        "{value} is no {prefix} and a ULID"
    );
}

#[track_caller]
fn is_time(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    assert!(
        parsed.is_ok() && text.ends_with('Z'),
        "{value} is no UTC time"
    );
}

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

fn a_partner_has_exactly_these_members(store: Store) {
    let server = store.start();
    let members = "id name plan rate_limit max_orgs labels created_at";
    let admin = server.admin();
    let bare = admin
        .post(
            "/cp/admin/partners",
            json!({"name": "Acme", "plan": "standard"}),
        )
        .expect(201);
    has_exactly(&bare, members);
    is_id(&bare["id"], "ptn_");
    is_time(&bare["created_at"]);
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
    has_exactly(&created, members);
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&created[name], value);
    }
    let path = format!("/cp/admin/partners/{}", created["id"].as_str().unwrap());
    assert_eq!(admin.get(&path).expect(200), created);
    assert_eq!(admin.all("/cp/admin/partners"), [created, bare]);
}

fn a_key_has_exactly_these_members(store: Store) {
    let server = store.start();
    let members = "id name scopes org_id partner_id org_plans rate_limit expires_at allowed_cidrs \
                   max_live_orgs on_revoke labels key_prefix disabled status created_at created_by \
                   last_used_at revoked_at";
    let key = server.key(&["orgs:list", "orgs:create"]);
    let created = key.resource();
    has_exactly(created, &format!("{members} key"));
    is_id(&created["id"], "pak_");
    is_id(&created["partner_id"], "ptn_");
    is_id(&created["created_by"], "adm_");
    is_time(&created["created_at"]);
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
        "rate_limit": {"limit": 9, "window_seconds": 10}, "expires_at": "2099-01-01T00:00:00Z",
        "labels": {"tier": "one"}, "on_revoke": "keep", "partner_id": key.partner_id(),
    });
    let other = server.issue(full.clone());
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&other.resource()[name], value, "{name}");
    }
    let in_days = server.issue(json!({"scopes": ["orgs:list"], "expires_in_days": 30}));
    is_time(&in_days.resource()["expires_at"]);

    key.get("/cp/whoami").expect(200);
    let admin = server.admin();
    let read = admin.get(&key.path()).expect(200);
    has_exactly(&read, members);
    is_time(&read["last_used_at"]);
    let listed = admin.get("/cp/admin/partner-keys").expect(200);
    has_exactly(&listed, "data has_more next_cursor");
    for item in listed["data"].as_array().unwrap() {
        has_exactly(item, members);
    }
    // A key of its own partner: of its name, on plan partner.
    let path = format!("/cp/admin/partners/{}", key.partner_id());
    let partner = admin.get(&path).expect(200);
    assert_eq!(
        (&partner["name"], &partner["plan"]),
        (&created["name"], &json!("partner"))
    );
}

fn an_org_has_exactly_these_members(store: Store) {
    let server = store.start();
    let members = "id name slug plan status partner_id created_by_key_id external_id labels \
                   login_url created_at ready_at expires_at deleted_at failure";
    let key = server.key(ALL_SCOPES);
    let request = json!({
        "name": "Acme Corp", "slug": "acme-corp", "plan": "enterprise", "external_id": "crm/7",
        "labels": {"run_id": "1:2"},
    });
    let created = key.post("/cp/orgs", request.clone()).expect(201);
    has_exactly(&created, members);
    for (name, value) in request.as_object().unwrap() {
        assert_eq!(&created[name], value);
    }
    is_id(&created["id"], "org_");
    assert_eq!(created["partner_id"], key.partner_id());
    assert_eq!(created["created_by_key_id"], key.id());
    assert_eq!(
        created["login_url"],
        "https://app.moleculesai.app/login?org=acme-corp"
    );
    is_time(&created["created_at"]);
    is_null(
        &created,
        &["ready_at", "expires_at", "deleted_at", "failure"],
    );
    let id = created["id"].as_str().unwrap();
    key.wait(id, "ready");
    let mut ready = key.get(&format!("/cp/orgs/{id}")).expect(200);
    has_exactly(&ready, members);
    is_time(&ready["ready_at"]);
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
    has_exactly(&going, members);
    assert_eq!(going["status"], "deprovisioning");
    key.wait(id, "deleted");
    is_time(&key.get(&format!("/cp/orgs/{id}")).expect(200)["deleted_at"]);
}

fn an_orgs_status_has_exactly_these_members(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:create"]);
    let org = key.org("acme-corp");
    let response = key.get(&format!("/cp/orgs/{}/status", org["id"].as_str().unwrap()));
    let status = response.expect(200);
    has_exactly(
        &status,
        "id slug status created_at updated_at login_url steps failure",
    );
    for member in ["id", "slug", "status", "created_at", "login_url"] {
        assert_eq!(status[member], org[member]);
    }
    is_time(&status["updated_at"]);
    is_null(&status, &["failure"]);
    let steps = status["steps"].as_array().unwrap();
    assert!(!steps.is_empty());
    for step in steps {
        has_exactly(step, "name status attempts started_at finished_at");
        assert!(step["attempts"].as_u64().unwrap() >= 1, "{step:#}");
        is_time(&step["started_at"]);
        is_time(&step["finished_at"]);
    }
    assert_eq!(response.header_if_any("retry-after"), None);
}

fn a_workspace_has_exactly_these_members(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let path = format!("/cp/orgs/{}/workspaces", org["id"].as_str().unwrap());
    let first = key.get(&path).expect(200);
    has_exactly(&first, "data has_more next_cursor");
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
        has_exactly(workspace, "id org_id name slug created_at");
        is_id(&workspace["id"], "ws_");
        is_time(&workspace["created_at"]);
        assert_eq!(workspace["org_id"], org["id"]);
    }
}

fn billing_has_exactly_these_members(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let billing = key
        .get(&format!("/cp/orgs/{}/billing", org["id"].as_str().unwrap()))
        .expect(200);
    has_exactly(&billing, "org_id plan subscription");
    let subscription = &billing["subscription"];
    has_exactly(
        subscription,
        "status current_period_start current_period_end cancel_at",
    );
    assert_eq!(billing["org_id"], org["id"]);
    assert_eq!(billing["plan"], "standard");
    assert_eq!(subscription["status"], "active");
    is_time(&subscription["current_period_start"]);
    is_time(&subscription["current_period_end"]);
    is_null(subscription, &["cancel_at"]);
}

fn an_event_has_exactly_these_members(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let agent = [("user-agent", "acme-ci/1.2")];
    key.send("GET", "/cp/orgs", &agent, b"").expect(200);
    key.org("acme-corp");
    key.get("/cp/admin/partners").problem(403, "not-permitted");
    for event in server.events("") {
        has_exactly(
            &event,
            "id occurred_at actor action target outcome status_code method route request_id ip \
             user_agent details",
        );
        has_exactly(&event["actor"], "type id partner_id");
        has_exactly(&event["target"], "type id");
        is_id(&event["id"], "evt_");
        is_time(&event["occurred_at"]);
        assert!(event["details"].is_object(), "{event:#}");
    }
    let listed = server.events(&format!("key_id={}&action=org.list", key.id()));
    assert_eq!(listed[0]["user_agent"], "acme-ci/1.2");
    is_id(&listed[0]["request_id"], "req_");
}

fn whoami_has_exactly_these_members(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let admins = server.admin().get("/cp/whoami").expect(200);
    let keys = key.get("/cp/whoami").expect(200);
    for who in [&admins, &keys] {
        has_exactly(who, "credential partner limits");
        has_exactly(
            &who["credential"],
            "type id name scopes org_id org_plans max_live_orgs allowed_cidrs expires_at",
        );
        let limits = who["limits"].as_array().unwrap();
        assert_eq!(limits.len(), 1);
        has_exactly(&limits[0], "name limit window_seconds remaining");
    }
    is_id(&admins["credential"]["id"], "adm_");
    is_null(&admins, &["partner"]);
    assert_eq!(keys["credential"]["id"], key.id());
    assert_eq!(keys["credential"]["scopes"], json!(["orgs:list"]));
    assert_eq!(keys["partner"]["id"], key.partner_id());
    assert_eq!(
        keys["limits"][0],
        json!({"name": "key", "limit": 600, "window_seconds": 60, "remaining": 599})
    );
}
