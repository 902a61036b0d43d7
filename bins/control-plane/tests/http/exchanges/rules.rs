//! What becomes of exchanges and keys when rules and partners change.

use serde_json::{Value, json};
use testkit::issuer::Issuer;

use super::{ON_THIS_MACHINE, exchange, refused, rule, token};
use crate::kit::{Server, Store, eventually};

on_both_engines![
    a_rule_that_is_disabled_or_deleted_ends_its_keys_on_all_instances,
    many_keys_of_a_rule_are_revoked_in_the_background,
    a_rule_that_is_enabled_again_keeps_its_new_keys,
    a_change_of_a_rule_counts_from_the_next_exchange_on,
    a_partner_that_loses_its_plan_gets_no_keys,
    a_key_of_a_rule_never_ends_later,
];

fn path(rule: &Value) -> String {
    format!("/cp/admin/trust-rules/{}", rule["id"].as_str().unwrap())
}

#[track_caller]
fn key(server: &Server, rule: &Value, issuer: &Issuer) -> String {
    let answer = exchange(&server.anon(), rule, &token(issuer, json!({}))).expect(200);
    answer["access_token"].as_str().unwrap().to_owned()
}

fn a_rule_that_is_disabled_or_deleted_ends_its_keys_on_all_instances(store: Store) {
    let (server, other) = (
        store.start_with(ON_THIS_MACHINE),
        store.start_with(ON_THIS_MACHINE),
    );
    let issuer = Issuer::start();
    let admin = server.admin();
    for by_deletion in [false, true] {
        let (ended, kept) = (
            rule(&server, &issuer, json!({})),
            rule(&server, &issuer, json!({})),
        );
        let (key, bystander) = (key(&server, &ended, &issuer), key(&other, &kept, &issuer));
        other.with_token(&key).get("/cp/whoami").expect(200);
        if by_deletion {
            assert_eq!(admin.delete(&path(&ended)).status, 204);
        } else {
            admin
                .patch(&path(&ended), json!({"enabled": false}))
                .expect(200);
        }
        server
            .with_token(&key)
            .get("/cp/whoami")
            .problem(401, "key-revoked");
        eventually("the other instance refuses the key", || {
            (other.with_token(&key).get("/cp/whoami").status == 401).then_some(())
        });
        for server in [&server, &other] {
            let response = exchange(&server.anon(), &ended, &token(&issuer, json!({})));
            refused(&response, 400, "invalid_grant");
            server.with_token(&bystander).get("/cp/whoami").expect(200);
        }
        if !by_deletion {
            admin
                .patch(&path(&ended), json!({"enabled": true}))
                .expect(200);
            exchange(&server.anon(), &ended, &token(&issuer, json!({}))).expect(200);
            server
                .with_token(&key)
                .get("/cp/whoami")
                .problem(401, "key-revoked");
        }
    }
}

fn many_keys_of_a_rule_are_revoked_in_the_background(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let partner = rule["partner_id"].as_str().unwrap();
    for _ in 0..230 {
        key(&server, &rule, &issuer);
    }
    let active = format!("/cp/admin/partner-keys?partner_id={partner}&status=active");
    assert_eq!(server.admin().all(&active).len(), 230);
    assert_eq!(server.admin().delete(&path(&rule)).status, 204);
    eventually("all keys are revoked", || {
        server.admin().all(&active).is_empty().then_some(())
    });
    let of_partner = format!("action=key.revoke&partner_id={partner}");
    let events = eventually("each is audited", || {
        Some(server.events(&of_partner)).filter(|events| events.len() >= 230)
    });
    assert_eq!(events.len(), 230);
    assert_eq!(events[0]["actor"]["type"], "system");
    assert_eq!(events[0]["details"]["trust_rule"], rule["id"]);
}

fn a_rule_that_is_enabled_again_keeps_its_new_keys(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let partner = rule["partner_id"].as_str().unwrap();
    for _ in 0..120 {
        key(&server, &rule, &issuer);
    }
    let admin = server.admin();
    for enabled in [false, true] {
        let change = json!({"enabled": enabled});
        admin.patch(&path(&rule), change).expect(200);
    }
    let new = key(&server, &rule, &issuer);
    let active = format!("/cp/admin/partner-keys?partner_id={partner}&status=active");
    assert_eq!(admin.all(&active).len(), 1, "what is older has ended");
    // The background has its turn each second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    server.with_token(&new).get("/cp/whoami").expect(200);
}

fn a_change_of_a_rule_counts_from_the_next_exchange_on(store: Store) {
    let (server, other) = (
        store.start_with(ON_THIS_MACHINE),
        store.start_with(ON_THIS_MACHINE),
    );
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let kept = key(&other, &rule, &issuer);
    let narrower = json!({"claims": {"actor": "bob"}, "scopes": ["orgs:list"]});
    server.admin().patch(&path(&rule), narrower).expect(200);
    // Also where the rule was used a moment ago.
    for server in [&other, &server] {
        let response = exchange(&server.anon(), &rule, &token(&issuer, json!({})));
        let why = refused(&response, 400, "invalid_grant");
        assert!(why.contains("claim actor"), "{why}");
        let bob = token(&issuer, json!({"actor": "bob"}));
        assert_eq!(
            exchange(&server.anon(), &rule, &bob).expect(200)["scope"],
            "orgs:list"
        );
    }
    other.with_token(&kept).get("/cp/whoami").expect(200);
}

fn a_partner_that_loses_its_plan_gets_no_keys(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let partner = format!(
        "/cp/admin/partners/{}",
        rule["partner_id"].as_str().unwrap()
    );
    server
        .admin()
        .patch(&partner, json!({"plan": "standard"}))
        .expect(200);
    let token = token(&issuer, json!({}));
    let why = refused(
        &exchange(&server.anon(), &rule, &token),
        400,
        "invalid_grant",
    );
    assert!(why.contains("plan"), "{why}");
    server
        .admin()
        .patch(&partner, json!({"plan": "partner"}))
        .expect(200);
    exchange(&server.anon(), &rule, &token).expect(200);
}

/// A pipeline's key is one of minutes; one that is to last is made as such.
fn a_key_of_a_rule_never_ends_later(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let exchanged = exchange(&server.anon(), &rule, &token(&issuer, json!({}))).expect(200);
    let path = format!(
        "/cp/admin/partner-keys/{}",
        exchanged["key_id"].as_str().unwrap()
    );
    let admin = server.admin();
    for end in [json!("2100-01-01T00:00:00Z"), json!(null)] {
        let problem = admin
            .patch(&path, json!({"expires_at": end}))
            .problem(422, "validation-failed");
        assert_eq!(problem["errors"][0]["pointer"], "/expires_at", "{problem}");
    }
    let end = admin.get(&path).expect(200)["expires_at"].clone();
    let changed = json!({"expires_at": end, "name": "one job"});
    assert_eq!(admin.patch(&path, changed).expect(200)["name"], "one job");
}
