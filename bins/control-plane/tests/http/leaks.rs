//! Reports of leaked tokens.

mod github;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    kit::{
        ADMIN_KEY, ALL_SCOPES, Caller, Receiver, Response, Server, Store, eventually, tokens,
        within,
    },
    program::{succeeded, word},
    webhooks::{ON_THIS_MACHINE, endpoint},
};

on_both_engines![
    a_leaked_key_is_revoked_on_record_and_its_partner_told,
    a_key_that_stays_is_told_of_once_for_each_address,
    a_report_does_not_tell_what_was_real,
    what_is_no_token_as_it_stands_is_left_alone,
    a_key_that_could_be_used_again_is_revoked_too,
    reports_are_bounded_and_limited,
    a_report_by_a_thousand_is_in_force_on_every_instance,
    a_report_outlives_the_server,
    a_key_under_a_retired_pepper_is_found,
    either_secret_of_a_rotated_key_revokes_it_and_one_that_has_ended_does_not,
    a_leaked_admin_key_is_told_of_and_goes_on,
    on_leak_is_set_and_changed,
];

pub const LEAKS: &str = "/cp/leaks";

#[track_caller]
fn report(server: &Server, tokens: &[&str]) -> Response {
    let response = server.anon().post(LEAKS, json!({"tokens": tokens}));
    assert_eq!((response.status, response.body.as_str()), (202, ""));
    response
}

/// Waits as long as a report may take.
#[track_caller]
pub fn is_revoked(server: &Server, key: &Caller) {
    let key = server.with_token(key.token());
    // A disabled key is refused before.
    within(Duration::from_secs(2), "the key is revoked", || {
        let response = key.get("/cp/whoami");
        response.body.contains("key-revoked").then_some(())
    });
    key.get("/cp/whoami").problem(401, "key-revoked");
}

fn a_leaked_key_is_revoked_on_record_and_its_partner_told(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let owner = server.key(ALL_SCOPES);
    endpoint(&owner, &receiver.url(), &["key.leaked", "key.revoked"]);
    let leaked = server.key_of(owner.partner_id(), &["orgs:list"]);
    let other = server.key_of(owner.partner_id(), &["orgs:list"]);
    let body = json!({
        "tokens": [leaked.token(), leaked.token()],
        "source": "acme-scanner",
        "url": "https://example.com/<b>?x='1'",
    });
    assert_eq!(server.anon().post(LEAKS, body).status, 202);
    is_revoked(&server, &leaked);
    let read = server.admin().get(&leaked.path()).expect(200);
    assert_eq!(read["status"], "revoked");
    assert_eq!(read["revocation_reason"], "leaked");
    other.get("/cp/whoami").expect(200);

    let got = receiver.wait(2);
    let mut kinds: Vec<_> = got.iter().map(crate::kit::Message::kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["key.leaked", "key.revoked"]);
    let told = got.iter().find(|it| it.kind() == "key.leaked").unwrap();
    let data = told.json()["data"].clone();
    assert_eq!(data["id"], leaked.id());
    assert_eq!(data["revocation_reason"], "leaked");
    assert_eq!(data["leak"]["source"], "acme-scanner");
    assert_eq!(data["leak"]["url"], "https://example.com/<b>?x='1'");
    assert!(!told.body.contains(leaked.token()), "{told:#?}");

    let events = server.events("action=key.leaked");
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0];
    assert_eq!(
        event["actor"],
        json!({
            "type": "system", "id": null, "partner_id": owner.partner_id(), "key_prefix": null,
        })
    );
    assert_eq!(
        event["target"],
        json!({"type": "partner_key", "id": leaked.id()})
    );
    assert_eq!(event["details"]["source"], "acme-scanner");
    assert_eq!(event["details"]["url"], "https://example.com/<b>?x='1'");
    let revocation = &server.events("action=key.revoke")[0];
    assert_eq!(revocation["target"]["id"], leaked.id());
    assert_eq!(revocation["details"]["reason"], "leaked");
    // The partner sees what became of its key.
    let seen = owner.all("/cp/audit-events?action=key.leaked");
    assert_eq!(seen, events);
    // A report of what is revoked already is nothing new.
    report(&server, &[leaked.token()]);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.events("action=key.leaked").len(), 1);
}

fn a_key_that_stays_is_told_of_once_for_each_address(store: Store) {
    let receiver = Receiver::start();
    let server = store.start_with(ON_THIS_MACHINE);
    let owner = server.key(ALL_SCOPES);
    endpoint(&owner, &receiver.url(), &["key.leaked"]);
    let kept = server.issue(json!({
        "scopes": ["orgs:list"], "partner_id": owner.partner_id(), "on_leak": "notify",
    }));
    let report = |url: &str| {
        let body = json!({"tokens": [kept.token()], "url": url});
        assert_eq!(server.anon().post(LEAKS, body).status, 202);
    };
    for _ in 0..5 {
        report("https://example.com/a");
    }
    report("https://example.com/b");
    let count = || server.events("action=key.leaked").len();
    eventually("both addresses are told of", || {
        (count() == 2).then_some(())
    });
    // However many addresses somebody makes up.
    for n in 0..20 {
        report(&format!("https://example.com/{n}"));
    }
    eventually("so many are told of", || (count() == 10).then_some(()));
    report("https://example.com/last");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(count(), 10);
    assert_eq!(receiver.wait(10).len(), 10);
    let event = &server.events("action=key.leaked")[0];
    assert_eq!(event["details"]["on_leak"], "notify");
    kept.get("/cp/whoami").expect(200);
    assert_eq!(server.events("action=key.revoke").len(), 0);
}

fn a_report_does_not_tell_what_was_real(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let names = |response: &Response| {
        let mut names: Vec<String> = response
            .headers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort_unstable();
        names
    };
    let unknown = tokens::well_formed("mol_pk_");
    let real = report(&server, &[key.token()]);
    is_revoked(&server, &key);
    for tokens in [
        vec![key.token()],
        vec![&*unknown],
        vec!["nonsense", ""],
        vec![&*unknown; 1000],
    ] {
        assert_eq!(names(&report(&server, &tokens)), names(&real));
    }
    // A credential is not looked at, and leaves no event.
    let before = server.events("").len();
    let body = json!({"tokens": [unknown]});
    for caller in [server.admin(), key, server.with_token("nonsense")] {
        let response = caller.post(LEAKS, body.clone());
        assert_eq!((response.status, response.body.as_str()), (202, ""));
        assert_eq!(names(&response), names(&real));
    }
    assert_eq!(server.events("").len(), before + 1, "but for this list");
}

fn what_is_no_token_as_it_stands_is_left_alone(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let token = key.token();
    for text in [
        format!(" {token}"),
        format!("{token}\n"),
        format!("\"{token}\""),
        format!("Bearer {token}"),
        format!("{token}0"),
        token.to_uppercase(),
        tokens::mistyped(token),
    ] {
        report(&server, &[&text]);
    }
    thread::sleep(Duration::from_millis(500));
    key.get("/cp/whoami").expect(200);
}

fn a_key_that_could_be_used_again_is_revoked_too(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let (disabled, fallen) = (server.key(&["orgs:list"]), server.key(&["orgs:list"]));
    admin
        .patch(&disabled.path(), json!({"disabled": true}))
        .expect(200);
    let partner = format!("/cp/admin/partners/{}", fallen.partner_id());
    admin.patch(&partner, json!({"plan": "free"})).expect(200);
    report(&server, &[disabled.token(), fallen.token()]);
    for key in [disabled, fallen] {
        is_revoked(&server, &key);
    }
}

fn reports_are_bounded_and_limited(store: Store) {
    let server = store.start();
    let anon = server.anon();
    let mut sent = 0;
    let mut post = |body: Value| {
        sent += 1;
        anon.post(LEAKS, body)
    };
    for (body, pointer) in [
        (json!({}), "/tokens"),
        (json!({"tokens": []}), "/tokens"),
        (json!({"tokens": vec!["x"; 1001]}), "/tokens"),
        (json!({"tokens": [7]}), "/tokens/0"),
        (json!({"tokens": ["x"], "keys": []}), "/keys"),
        (json!({"tokens": ["x"], "source": "a\nb"}), "/source"),
        (json!({"tokens": ["x"], "url": "x".repeat(2049)}), "/url"),
    ] {
        let response = post(body);
        response.problem(422, "validation-failed");
        assert_eq!(response.pointers(), [pointer]);
    }
    let secret = tokens::well_formed("mol_pk_");
    let broken = format!("{{\"tokens\": [\"{secret}\", oops");
    let json_type = [("content-type", "application/json")];
    let response = anon.send("POST", LEAKS, &json_type, broken.as_bytes());
    response.problem(400, "invalid-request");
    assert!(!response.body.contains(&secret), "{response:#?}");
    let form = [("content-type", "text/plain")];
    anon.send("POST", LEAKS, &form, b"{}")
        .problem(415, "unsupported-media-type");
    let large = json!({"tokens": ["x".repeat(80_000)]});
    post(large).problem(413, "payload-too-large");
    anon.post("/cp/leaks?x=1", json!({"tokens": ["x"]}))
        .problem(400, "invalid-request");
    anon.get(LEAKS).problem(405, "method-not-allowed");
    assert_eq!(anon.get(LEAKS).header("allow"), "POST");
    sent += 3;
    while sent < 60 {
        report(&server, &["x"]);
        sent += 1;
    }
    let refused = anon.post(LEAKS, json!({"tokens": ["x"]}));
    refused.problem(429, "rate-limited");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() <= 60);
    // It is nobody else's limit.
    server.key(&["orgs:list"]).get("/cp/whoami").expect(200);
}

fn a_report_by_a_thousand_is_in_force_on_every_instance(store: Store) {
    let servers = [store.start(), store.start()];
    let keys: Vec<Caller> = (0..10).map(|_| servers[0].key(&["orgs:list"])).collect();
    let elsewhere: Vec<Caller> = keys
        .iter()
        .map(|key| servers[1].with_token(key.token()))
        .collect();
    for key in keys.iter().chain(&elsewhere) {
        key.get("/cp/whoami").expect(200);
    }
    let others: Vec<String> = (0..990).map(|_| tokens::well_formed("mol_pk_")).collect();
    let mut tokens: Vec<&str> = others.iter().map(String::as_str).collect();
    for (place, key) in keys.iter().enumerate() {
        tokens.insert(place * 97, key.token());
    }
    report(&servers[1], &tokens);
    let answered = Instant::now();
    for key in keys.iter().chain(&elsewhere) {
        while key.get("/cp/whoami").status != 401 {
            assert!(answered.elapsed() < Duration::from_secs(2));
        }
    }
    assert_eq!(servers[0].events("action=key.leaked").len(), 10);
}

fn a_report_outlives_the_server(store: Store) {
    let mut server = store.start();
    let keys: Vec<Caller> = (0..200).map(|_| server.key(&["orgs:list"])).collect();
    let tokens: Vec<&str> = keys.iter().map(Caller::token).collect();
    report(&server, &tokens);
    server.kill();
    let server = store.start();
    for key in [&keys[0], &keys[199]] {
        let key = server.with_token(key.token());
        within(Duration::from_secs(10), "the report is handled", || {
            (key.get("/cp/whoami").status == 401).then_some(())
        });
    }
}

fn a_key_under_a_retired_pepper_is_found(store: Store) {
    let (first, second) = ("a".repeat(32), "b".repeat(32));
    let key = {
        let server = store.start_with(&[("MOLECULE_CP_PEPPER", &first)]);
        server.key(&["orgs:list"])
    };
    let server = store.start_with(&[
        ("MOLECULE_CP_PEPPER", &second),
        ("MOLECULE_CP_RETIRED_PEPPERS", &first),
    ]);
    report(&server, &[key.token()]);
    is_revoked(&server, &key);
}

fn either_secret_of_a_rotated_key_revokes_it_and_one_that_has_ended_does_not(store: Store) {
    let server = store.start();
    let rotated = |overlap: u32| {
        let key = server.key(&["orgs:list"]);
        let path = format!("{}/rotate", key.path());
        let answer = key
            .post(&path, json!({"overlap_seconds": overlap}))
            .expect(201);
        let newer = server.with_token(answer["key"].as_str().unwrap());
        (key, newer)
    };
    for reports_older in [true, false] {
        let (older, newer) = rotated(3600);
        let leaked = if reports_older { &older } else { &newer };
        report(&server, &[leaked.token()]);
        is_revoked(&server, &older);
        is_revoked(&server, &newer);
        let events = server.events("action=key.leaked");
        let event = events.last().unwrap();
        assert_eq!(event["details"]["key_prefix"], leaked.token()[..12]);
    }
    let (ended, newer) = rotated(0);
    report(&server, &[ended.token()]);
    thread::sleep(Duration::from_millis(700));
    newer.get("/cp/whoami").expect(200);
}

fn a_leaked_admin_key_is_told_of_and_goes_on(store: Store) {
    let server = store.start();
    let shown = succeeded(&store.run(&["admin-key", "create"], &[]));
    let (id, secret) = (word(&shown, "adm_"), word(&shown, "mol_ak_"));
    let own = server.admin().get("/cp/whoami").expect(200)["credential"]["id"].clone();
    for _ in 0..3 {
        report(&server, &[&secret, ADMIN_KEY]);
    }
    let events = eventually("both are told of", || {
        let events = server.events("action=admin_key.leaked");
        (events.len() == 2).then_some(events)
    });
    let told: Vec<&Value> = events.iter().map(|event| &event["target"]["id"]).collect();
    assert!(
        told.contains(&&json!(id)) && told.contains(&&own),
        "{told:?}"
    );
    for caller in [server.admin(), server.with_token(&secret)] {
        caller.get("/cp/admin/orgs").expect(200);
    }
    let metrics = eventually("they are counted", || {
        let metrics = server.anon().get("/metrics").body;
        let line = "molecule_leaked_keys_total{action=\"admin_key_alert\"} 2";
        metrics.contains(line).then_some(metrics)
    });
    assert!(metrics.contains("molecule_leak_reports_total{outcome=\"taken\"} 3"));
    assert!(metrics.contains("molecule_leak_tokens_total 6"));
    // The log says which, and not what.
    let log = server.log();
    assert!(
        log.contains(&id) && log.contains("an admin key has leaked"),
        "{log}"
    );
    assert!(!log.contains(&secret) && !log.contains(ADMIN_KEY), "{log}");
}

fn on_leak_is_set_and_changed(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let key = server.key(&["orgs:list"]);
    assert_eq!(key.resource()["on_leak"], "revoke");
    let change = |on_leak: Value| admin.patch(&key.path(), json!({"on_leak": on_leak}));
    assert_eq!(change(json!("notify")).expect(200)["on_leak"], "notify");
    assert_eq!(change(Value::Null).expect(200)["on_leak"], "revoke");
    change(json!("ignore")).problem(422, "validation-failed");
    let event = &server.events("action=key.update&outcome=success")[0];
    assert_eq!(event["details"]["changed"], json!(["on_leak"]));
    let request = json!({"name": "k", "scopes": ["orgs:list"], "on_leak": "burn"});
    let refused = admin.post("/cp/admin/partner-keys", request);
    assert_eq!(refused.pointers(), ["/on_leak"]);
}
