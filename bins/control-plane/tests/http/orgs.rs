//! An org's states, and the moves that each of them allows.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, Server, Store};

on_both_engines![
    suspend_and_resume_go_back_and_forth_and_nowhere_else,
    a_suspended_org_can_be_deleted,
    a_deleted_org_is_read_and_polled_and_not_listed,
    a_workspace_needs_a_ready_org,
    a_workspaces_slug_is_its_orgs_own,
    the_operator_sets_the_subscription,
    an_invalid_period_has_the_pointer_of_the_field_that_was_sent,
    orgs_are_filtered,
    a_slug_is_one_orgs_even_when_many_ask_at_once,
];

fn act(server: &Server, org: &str, verb: &str) -> crate::kit::Response {
    server
        .admin()
        .post(&format!("/cp/admin/orgs/{org}/{verb}"), Value::Null)
}

#[track_caller]
fn conflicts(server: &Server, org: &str, verbs: &[&str]) {
    let before = server
        .admin()
        .get(&format!("/cp/admin/orgs/{org}"))
        .expect(200);
    for verb in verbs {
        let response = act(server, org, verb);
        response.problem(409, "org-state-conflict");
        response.event();
    }
    let after = server
        .admin()
        .get(&format!("/cp/admin/orgs/{org}"))
        .expect(200);
    assert_eq!(after, before);
}

fn suspend_and_resume_go_back_and_forth_and_nowhere_else(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for _ in 0..2 {
        conflicts(&server, id, &["resume", "retry"]);
        let mut suspended = act(&server, id, "suspend").expect(200);
        assert_eq!(suspended["status"], "suspended");
        assert_eq!(
            key.get(&format!("/cp/orgs/{id}/status")).expect(200)["status"],
            "suspended"
        );
        suspended["status"] = json!("ready");
        assert_eq!(suspended, org);
        conflicts(&server, id, &["suspend", "retry"]);
        assert_eq!(act(&server, id, "resume").expect(200), org);
    }
    let missing = "org_01HXKM4000000000000000000A";
    for verb in ["suspend", "resume", "retry"] {
        act(&server, missing, verb).problem(404, "not-found");
    }
}

fn a_suspended_org_can_be_deleted(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    act(&server, id, "suspend").expect(200);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(id, "deleted");
}

fn a_deleted_org_is_read_and_polled_and_not_listed(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let path = format!("/cp/orgs/{id}");
    assert_eq!(key.delete(&path).expect(202)["status"], "deprovisioning");
    let again = key.delete(&path);
    assert!([202, 204].contains(&again.status), "{again:#?}");
    key.wait(id, "deleted");
    for _ in 0..2 {
        let response = key.delete(&path);
        assert_eq!((response.status, response.body.as_str()), (204, ""));
    }
    let read = key.get(&path).expect(200);
    assert_eq!(read["status"], "deleted");
    let status = key.get(&format!("{path}/status"));
    assert_eq!(status.expect(200)["status"], "deleted");
    assert_eq!(status.header_if_any("retry-after"), None);
    for (caller, list) in [(&key, "/cp/orgs"), (&server.admin(), "/cp/admin/orgs")] {
        assert_eq!(caller.all(list), [Value::Null; 0]);
        assert_eq!(
            caller.all(&format!("{list}?status=deleted")),
            std::slice::from_ref(&read)
        );
    }
    conflicts(&server, id, &["suspend", "resume", "retry"]);
    let events = server.events("action=org.deleted");
    assert_eq!(events.len(), 1, "{events:#?}");
}

fn a_workspace_needs_a_ready_org(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let path = format!("/cp/orgs/{id}/workspaces");
    let ask = || key.post(&path, json!({"name": "QA"}));
    act(&server, id, "suspend").expect(200);
    ask().problem(409, "org-state-conflict");
    act(&server, id, "resume").expect(200);
    ask().expect(201);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    let refused = key.post(&path, json!({"name": "late"}));
    refused.problem(409, "org-state-conflict");
    key.wait(id, "deleted");
    let refused = key.post(&path, json!({"name": "later"}));
    refused.problem(409, "org-state-conflict");
}

fn a_workspaces_slug_is_its_orgs_own(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let make = |key: &Caller, org: &Value, slug: &str| {
        let path = format!("/cp/orgs/{}/workspaces", org["id"].as_str().unwrap());
        key.post(&path, json!({"name": "QA", "slug": slug}))
    };
    let (one, two) = (key.org("acme-one"), key.org("acme-two"));
    make(&key, &one, "qa-lab").expect(201);
    make(&key, &two, "qa-lab").expect(201);
    for slug in ["qa-lab", "default"] {
        make(&key, &one, slug).problem(409, "slug-taken");
    }
    for slug in ["QA", "q--a", "-qa", "x"] {
        assert_eq!(make(&key, &one, slug).pointers(), ["/slug"], "{slug}");
    }
}

fn the_operator_sets_the_subscription(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let path = format!("/cp/admin/orgs/{id}/subscription");
    let whole = json!({
        "status": "past_due", "current_period_start": "2030-01-01T00:00:00.000000Z",
        "current_period_end": "2030-02-01T00:00:00.000000Z", "cancel_at": "2030-01-15T00:00:00.000000Z",
    });
    let actual = admin.put(&path, whole.clone()).expect(200);
    assert_eq!(
        actual,
        json!({"org_id": id, "plan": "standard", "subscription": whole})
    );
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}/billing")).expect(200),
        actual
    );
    let mut other = whole.clone();
    other["plan"] = json!("enterprise");
    other["status"] = json!("trialing");
    other["cancel_at"] = Value::Null;
    let actual = admin.put(&path, other).expect(200);
    assert_eq!(actual["plan"], "enterprise");
    assert_eq!(actual["subscription"]["status"], "trialing");
    assert_eq!(actual["subscription"]["cancel_at"], Value::Null);
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}")).expect(200)["plan"],
        "enterprise"
    );
    for (member, value) in [
        ("status", json!("paused")),
        ("plan", json!("platinum")),
        ("cancel_at", json!("tomorrow")),
        ("trial", json!(true)),
    ] {
        let mut wrong = whole.clone();
        wrong[member] = value;
        assert_eq!(admin.put(&path, wrong).pointers(), [format!("/{member}")]);
    }
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}/billing")).expect(200),
        actual
    );
}

fn an_invalid_period_has_the_pointer_of_the_field_that_was_sent(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let org = server.key(ALL_SCOPES).org("acme-corp");
    let path = format!(
        "/cp/admin/orgs/{}/subscription",
        org["id"].as_str().unwrap()
    );
    let early = "2001-01-01T00:00:00Z";
    let late = "2099-01-01T00:00:00Z";
    for (start, end, member) in [
        (Some(late), Some(late), "current_period_end"),
        (Some(late), Some(early), "current_period_end"),
        (None, Some(early), "current_period_end"),
        (Some(late), None, "current_period_start"),
        (Some("late"), Some(early), "current_period_start"),
        (Some(late), Some("early"), "current_period_end"),
    ] {
        let mut flat = json!({"status": "active"});
        for (name, value) in [("current_period_start", start), ("current_period_end", end)] {
            if let Some(value) = value {
                flat[name] = json!(value);
            }
        }
        let wrapped = json!({"subscription": flat});
        for (body, at) in [(flat, ""), (wrapped, "/subscription")] {
            let actual = admin.put(&path, body.clone());
            assert_eq!(actual.pointers(), [format!("{at}/{member}")], "{body}");
        }
    }
}

fn orgs_are_filtered(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let sister = server.key_of(key.partner_id(), ALL_SCOPES);
    for (key, n, run, plan) in [
        (&key, "one", "7", "free"),
        (&key, "two", "7", "standard"),
        (&sister, "three", "8", "free"),
    ] {
        let request = json!({
            "name": n, "slug": format!("acme-{n}"), "plan": plan, "external_id": format!("crm {n}"),
            "labels": {"run_id": run, "name": n},
        });
        let org = key.post("/cp/orgs", request).expect(201);
        key.wait(org["id"].as_str().unwrap(), "ready");
    }
    let three = &key.all("/cp/orgs?slug=acme-three")[0];
    act(&server, three["id"].as_str().unwrap(), "suspend").expect(200);
    let request = json!({"name": "four", "slug": "acme-four", "plan": "free", "ttl_seconds": 600});
    let four = key.post("/cp/orgs", request).expect(201);
    key.wait(four["id"].as_str().unwrap(), "ready");
    let three_at = three["created_at"].as_str().unwrap();
    let four_ends = four["expires_at"].as_str().unwrap();
    let by_sister = format!("created_by_key_id={}", sister.id());
    let by_key = format!("created_by_key_id={}&plan=free", key.id());
    let since = format!("created_since={three_at}");
    let until = format!("created_until={three_at}&status=ready");
    let before = format!("expires_before={four_ends}");
    let rows: &[(&str, &[&str])] = &[
        ("plan=standard", &["two"]),
        ("plan=free", &["four", "three", "one"]),
        ("plan=unknown", &[]),
        (&by_sister, &["three"]),
        (&by_key, &["four", "one"]),
        ("created_by_key_id=pak_01HXKM4000000000000000000A", &[]),
        (&since, &["four", "three"]),
        (&until, &["two", "one"]),
        (&before, &[]),
        ("expires_before=2099-01-01T00:00:00Z", &["four"]),
        ("created_until=2020-01-01T00:00:00Z", &[]),
        ("", &["four", "three", "two", "one"]),
        ("status=ready", &["four", "two", "one"]),
        ("status=suspended", &["three"]),
        ("status=failed", &[]),
        ("slug=acme-two", &["two"]),
        ("external_id=crm+two", &["two"]),
        ("external_id=crm", &[]),
        ("label=run_id:7", &["two", "one"]),
        ("label=run_id:7&label=name:one", &["one"]),
        ("label=run_id:9", &[]),
        ("label=run_id:7&status=suspended", &[]),
    ];
    for (query, expect) in rows {
        for (caller, list) in [(&key, "/cp/orgs"), (&server.admin(), "/cp/admin/orgs")] {
            let orgs = caller.all(&format!("{list}?{query}"));
            let names: Vec<_> = orgs
                .iter()
                .map(|org| org["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, *expect, "{query}");
        }
    }
    for query in [
        "status=gone",
        "slug=A",
        "label=run_id",
        "label=RUN:1",
        "plan=Free",
        "created_by_key_id=org_01HXKM4000000000000000000A",
        "created_since=yesterday",
        "expires_before=2026-04-23",
        "created_before=2026-04-23T08:00:00Z",
    ] {
        key.get(&format!("/cp/orgs?{query}"))
            .problem(400, "invalid-request");
    }
}

fn a_slug_is_one_orgs_even_when_many_ask_at_once(store: Store) {
    let server = store.start();
    let keys = [server.key(ALL_SCOPES), server.key(ALL_SCOPES)];
    let request = json!({"name": "Acme", "slug": "acme-corp", "plan": "free"});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..10)
            .map(|n| {
                let (key, request) = (keys[n % 2].clone(), request.clone());
                scope.spawn(move || key.post("/cp/orgs", request).status)
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&actual| actual == status).count();
    assert_eq!((count(201), count(409)), (1, 9), "{statuses:?}");
    assert_eq!(server.admin().all("/cp/admin/orgs").len(), 1);
}
