//! What ends a key, at once, and what a key may do about itself and others.

use serde_json::{Value, json};

use crate::kit::{ADMIN_KEY, Caller, Store, eventually};

on_both_engines![
    revoked_key_is_refused_on_the_next_request,
    disabled_key_is_refused_until_it_is_enabled,
    expired_key_is_refused,
    revocation_by_an_admin_is_idempotent_and_final,
    a_key_reads_and_revokes_itself_alone,
    a_revocation_says_why_and_the_first_reason_stays,
    a_revocation_whose_body_is_wrong_changes_nothing,
    a_key_lists_its_partners_keys,
    a_patch_changes_what_it_names_and_null_puts_the_default_back,
    narrowing_a_keys_scopes_holds_at_once,
    another_operators_key_ends_the_old_one,
];

#[track_caller]
fn is_refused(key: &Caller, code: &str) {
    for (method, path) in [
        ("GET", "/cp/whoami".to_owned()),
        ("GET", "/cp/orgs".to_owned()),
        ("GET", "/cp/nothing".to_owned()),
        ("DELETE", key.path()),
    ] {
        let response = key.call(method, &path, Value::Null);
        response.problem(401, code);
        let challenge = response.header("www-authenticate");
        assert!(
            challenge
                .starts_with(r#"Bearer realm="cp", error="invalid_token", error_description=""#),
            "{response:#?}"
        );
        // A known key is recorded even when it is refused.
        response.event();
    }
}

fn revoked_key_is_refused_on_the_next_request(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    key.get("/cp/orgs").expect(200);
    assert_eq!(admin.delete(&key.path()).status, 204);
    is_refused(&key, "key-revoked");
    let other = server.key(&["orgs:list"]);
    assert_eq!(other.delete(&other.path()).status, 204);
    is_refused(&other, "key-revoked");
    let read = admin.get(&other.path()).expect(200);
    assert_eq!(read["status"], "revoked");
    assert!(read["revoked_at"].as_str().unwrap().ends_with('Z'));
}

fn disabled_key_is_refused_until_it_is_enabled(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    let set = |disabled: bool| {
        let read = admin.patch(&key.path(), json!({"disabled": disabled}));
        read.expect(200)
    };
    let read = set(true);
    assert_eq!(
        (&read["disabled"], &read["status"]),
        (&json!(true), &json!("disabled"))
    );
    is_refused(&key, "key-disabled");
    assert_eq!(set(false)["status"], "active");
    key.get("/cp/orgs").expect(200);
}

fn expired_key_is_refused(store: Store) {
    let server = store.start();
    let end = time::OffsetDateTime::now_utc() + time::Duration::milliseconds(1500);
    let text = end
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let key = server.issue(json!({"scopes": ["orgs:list"], "expires_at": text}));
    assert_eq!(key.resource()["status"], "active");
    key.get("/cp/orgs").expect(200);
    eventually("the key ends", || {
        (key.get("/cp/whoami").status == 401).then_some(())
    });
    assert!(time::OffsetDateTime::now_utc() >= end);
    is_refused(&key, "key-expired");
    let read = server.admin().get(&key.path()).expect(200);
    assert_eq!(read["status"], "expired");
    // A later end brings it back.
    let later = json!({"expires_at": "2099-01-01T00:00:00.000000Z"});
    let read = server.admin().patch(&key.path(), later).expect(200);
    assert_eq!(read["expires_at"], "2099-01-01T00:00:00.000000Z");
    key.get("/cp/orgs").expect(200);
}

fn revocation_by_an_admin_is_idempotent_and_final(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    for _ in 0..3 {
        let response = admin.delete(&key.path());
        assert_eq!((response.status, response.body.as_str()), (204, ""));
    }
    let before = admin.get(&key.path()).expect(200);
    for change in [
        json!({"name": "again"}),
        json!({"disabled": false}),
        json!({}),
    ] {
        admin
            .patch(&key.path(), change)
            .problem(409, "key-state-conflict");
    }
    assert_eq!(admin.get(&key.path()).expect(200), before);
}

fn a_key_reads_and_revokes_itself_alone(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let sister = server.key_of(key.partner_id(), &["orgs:list"]);
    let foreign = server.key(&["orgs:list"]);
    let mut own = key.resource().clone();
    own.as_object_mut().unwrap().remove("key");
    let mut read = key.get(&key.path()).expect(200);
    read["last_used_at"] = Value::Null;
    read["secrets"][0]["last_used_at"] = Value::Null;
    assert_eq!(read, own);
    key.delete(&sister.path()).problem(403, "not-permitted");
    key.delete(&foreign.path()).problem(404, "not-found");
    key.get(&foreign.path()).problem(404, "not-found");
    sister.get("/cp/orgs").expect(200);
    foreign.get("/cp/orgs").expect(200);
    assert_eq!(key.delete(&key.path()).status, 204);
    key.delete(&key.path()).problem(401, "key-revoked");
}

fn a_revocation_says_why_and_the_first_reason_stays(store: Store) {
    let server = store.start();
    let admin = server.admin();
    for (body, reason) in [
        (Value::Null, "unspecified"),
        (json!({}), "unspecified"),
        (json!({"reason": null}), "unspecified"),
        (json!({"reason": "leaked"}), "leaked"),
        (json!({"reason": "superseded"}), "superseded"),
        (json!({"reason": "churned"}), "churned"),
        (json!({"reason": "unspecified"}), "unspecified"),
    ] {
        let key = server.key(&["orgs:list"]);
        assert_eq!(key.resource()["revocation_reason"], Value::Null);
        let answer = key.call("DELETE", &key.path(), body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        let again = admin.call("DELETE", &key.path(), json!({"reason": "leaked"}));
        assert_eq!(again.status, 204);
        let read = admin.get(&key.path()).expect(200);
        assert_eq!(read["revocation_reason"], reason);
        let revocations = server.events("action=key.revoke");
        for event in revocations.iter().rev().take(2) {
            assert_eq!(event["details"]["reason"], reason, "{event:#}");
        }
    }
    // With a receipt too.
    let key = server.key(&["orgs:list"]);
    let headers = [("prefer", "wait=5"), ("content-type", "application/json")];
    let body = br#"{"reason": "leaked"}"#;
    admin
        .send("DELETE", &key.path(), &headers, body)
        .expect(200);
    let read = admin.get(&key.path()).expect(200);
    assert_eq!(read["revocation_reason"], "leaked");
}

fn a_revocation_whose_body_is_wrong_changes_nothing(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    let json_type = [("content-type", "application/json")];
    for (body, pointer) in [
        (json!({"reason": "stolen"}), "/reason"),
        (json!({"reason": "Leaked"}), "/reason"),
        (json!({"reason": 1}), "/reason"),
        (json!({"reason": ["leaked"]}), "/reason"),
        (json!({"why": "leaked"}), "/why"),
        (json!([]), ""),
    ] {
        for caller in [&admin, &key] {
            let answer = caller.call("DELETE", &key.path(), body.clone());
            answer.problem(422, "validation-failed");
            assert_eq!(answer.pointers(), [pointer]);
        }
    }
    for broken in [
        &b"{"[..],
        b"leaked",
        b"\xff",
        br#"{"reason":"leaked","reason":"churned"}"#,
    ] {
        let answer = admin.send("DELETE", &key.path(), &json_type, broken);
        assert!([400, 422].contains(&answer.status), "{answer:#?}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    admin
        .send("DELETE", &key.path(), &form, br#"{"reason":"leaked"}"#)
        .problem(415, "unsupported-media-type");
    let read = admin.get(&key.path()).expect(200);
    assert_eq!(read["status"], "active");
    // The type says nothing about a body that is not there.
    assert_eq!(admin.send("DELETE", &key.path(), &form, b"").status, 204);
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

fn a_key_lists_its_partners_keys(store: Store) {
    let server = store.start();
    let key = server.key(&["audit:read"]);
    let sister = server.key_of(key.partner_id(), &["orgs:list"]);
    let foreign = server.key(&["orgs:list"]);
    let list = "/cp/admin/partner-keys";
    assert_eq!(ids(&key.all(list)), [sister.id(), key.id()]);
    assert_eq!(ids(&foreign.all(list)), [foreign.id()]);
    let admin = server.admin();
    assert_eq!(ids(&admin.all(list)), [foreign.id(), sister.id(), key.id()]);
    let of_partner = format!("{list}?partner_id={}", key.partner_id());
    assert_eq!(ids(&admin.all(&of_partner)), [sister.id(), key.id()]);
    admin.delete(&sister.path());
    assert_eq!(
        ids(&admin.all(&format!("{list}?status=revoked"))),
        [sister.id()]
    );
    assert_eq!(ids(&key.all(&format!("{list}?status=active"))), [key.id()]);
    for items in [admin.all(list), key.all(list)] {
        for item in items {
            assert!(item.get("key").is_none(), "{item:#}");
        }
    }
}

fn a_patch_changes_what_it_names_and_null_puts_the_default_back(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    let before = admin.get(&key.path()).expect(200);
    assert_eq!(admin.patch(&key.path(), json!({})).expect(200), before);
    let changes = json!({
        "name": "another name",
        "scopes": ["orgs:create"],
        "rate_limit": {"limit": 5, "window_seconds": 7},
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "org_plans": ["free"],
        "max_live_orgs": 3,
        "on_revoke": "delete",
        "labels": {"tier": "gold", "run": "7"},
    });
    let mut expect = before.clone();
    for (name, value) in changes.as_object().unwrap() {
        expect[name] = value.clone();
    }
    assert_eq!(admin.patch(&key.path(), changes).expect(200), expect);
    assert_eq!(admin.get(&key.path()).expect(200), expect);
    // RFC 7396 goes into objects: a label is set or taken away by itself.
    let headers = [("content-type", "application/merge-patch+json")];
    let patch = br#"{"labels": {"run": null, "team": "a"}}"#;
    let read = admin
        .send("PATCH", &key.path(), &headers, patch)
        .expect(200);
    assert_eq!(read["labels"], json!({"tier": "gold", "team": "a"}));
    let defaults = json!({
        "rate_limit": null, "expires_at": null, "org_plans": null, "labels": null, "disabled": null,
        "max_live_orgs": null, "on_revoke": null,
    });
    let read = admin.patch(&key.path(), defaults).expect(200);
    assert_eq!(
        read["rate_limit"],
        json!({"limit": 600, "window_seconds": 60})
    );
    assert_eq!(read["labels"], json!({}));
    assert_eq!(read["disabled"], json!(false));
    assert_eq!(read["on_revoke"], "keep");
    for member in ["expires_at", "org_plans", "max_live_orgs"] {
        assert_eq!(read[member], Value::Null, "{member}");
    }
    for (change, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"scopes": null}), "/scopes"),
        (json!({"org_id": null}), "/org_id"),
        (json!({"status": "active"}), "/status"),
        (json!({"partner_id": before["partner_id"]}), "/partner_id"),
    ] {
        assert_eq!(admin.patch(&key.path(), change).pointers(), [pointer]);
    }
    assert_eq!(admin.get(&key.path()).expect(200), read);
}

fn narrowing_a_keys_scopes_holds_at_once(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list", "orgs:create"]);
    key.get("/cp/orgs").expect(200);
    let change = json!({"scopes": ["orgs:create"]});
    server.admin().patch(&key.path(), change).expect(200);
    key.get("/cp/orgs").problem(403, "insufficient-scope");
}

fn another_operators_key_ends_the_old_one(store: Store) {
    let other = "another-operators-admin-key-of-the-tests-02";
    let server = store.start();
    server.admin().get("/cp/whoami").expect(200);
    server
        .with_token(other)
        .get("/cp/whoami")
        .problem(401, "invalid-key");
    drop(server);
    let server = store.start_with(&[("MOLECULE_CP_ADMIN_KEY", other)]);
    let refused = server.with_token(ADMIN_KEY).get("/cp/whoami");
    assert_eq!(refused.status, 401, "{refused:#?}");
    server.with_token(other).get("/cp/whoami").expect(200);
    drop(server);
    // Without one, the setting's key is over too.
    let server = store.start_with(&[("MOLECULE_CP_ADMIN_KEY", "")]);
    assert_eq!(server.with_token(other).get("/cp/whoami").status, 401);
}
