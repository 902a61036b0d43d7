//! Revocations with a receipt: `Prefer: wait` on the revocation of a key.

use std::{
    collections::BTreeSet,
    process::Command,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    instances::ids,
    kit::{ADMIN_KEY, Caller, Response, Server, Store, Wire},
};

on_both_engines![
    a_receipt_names_every_instance_and_all_refuse_the_key,
    the_wait_is_at_most_30_seconds_and_without_one_there_is_no_receipt,
    a_key_that_revokes_itself_gets_a_receipt,
    a_second_revocation_has_a_receipt_of_its_own,
    a_paused_instance_is_unconfirmed_and_refuses_the_key_when_it_goes_on,
    a_killed_instance_is_not_waited_for_once_it_is_dead,
    a_server_that_stops_answers_whoever_waits_for_a_receipt,
    whoever_closes_the_connection_gets_what_is_known,
];

fn revoke(by: &Caller, path: &str, prefer: &str) -> Response {
    by.send("DELETE", path, &[("prefer", prefer)], b"")
}

/// The ids in one list of a receipt.
fn named(receipt: &Value, list: &str) -> BTreeSet<String> {
    let list = receipt[list].as_array().unwrap();
    let id = |one: &Value| one["instance"].as_str().unwrap().to_owned();
    list.iter().map(id).collect()
}

/// The one instance that the first server lists and that is not in the set.
fn other(first: &Server, but: &BTreeSet<String>) -> String {
    let ids = ids(first);
    let mut others = ids.difference(but);
    others.next().unwrap().clone()
}

/// A key that every server has cached.
fn known_key(servers: &[&Server]) -> Caller {
    let key = servers[0].key(&["orgs:list"]);
    for server in servers {
        for _ in 0..2 {
            server.with_token(key.token()).get("/cp/orgs").expect(200);
        }
    }
    key
}

fn a_receipt_names_every_instance_and_all_refuse_the_key(store: Store) {
    let (first, second, third) = (store.start(), store.start(), store.start());
    let servers = [&first, &second, &third];
    for round in 0..10 {
        let key = known_key(&servers);
        let by = servers[round % 3];
        let response = revoke(&by.admin(), &key.path(), "wait=10");
        for server in servers {
            let refused = server.with_token(key.token()).get("/cp/orgs");
            refused.problem(401, "key-revoked");
        }
        let receipt = response.expect(200);
        assert_eq!(response.header("preference-applied"), "wait=10");
        assert_eq!(named(&receipt, "confirmed"), ids(&first), "{receipt:#}");
        assert_eq!(receipt["unconfirmed"], json!([]));
        for one in receipt["confirmed"].as_array().unwrap() {
            assert!(one["after_ms"].as_u64().unwrap() < 2000, "{receipt:#}");
        }
        let read = first.admin().get(&key.path()).expect(200);
        assert_eq!(read["revoked_at"], receipt["revoked_at"]);
        let event = response.event();
        let event = first
            .admin()
            .get(&format!("/cp/admin/audit-events/{event}"));
        let event = event.expect(200);
        assert_eq!(event["action"], "key.revoke");
        assert_eq!(event["status_code"], 200);
    }
}

fn the_wait_is_at_most_30_seconds_and_without_one_there_is_no_receipt(store: Store) {
    let server = store.start();
    for (prefer, applied) in [
        ("wait=30", Some("wait=30")),
        ("wait=50", Some("wait=30")),
        ("wait=0", Some("wait=0")),
        ("wait=soon", None),
        ("return=minimal", None),
    ] {
        let key = server.key(&["orgs:list"]);
        let response = revoke(&server.admin(), &key.path(), prefer);
        let actual = response.header_if_any("preference-applied");
        assert_eq!(actual, applied, "{prefer}");
        if applied.is_some() {
            let receipt = response.expect(200);
            assert_eq!(named(&receipt, "confirmed"), ids(&server), "{receipt:#}");
        } else {
            assert_eq!((response.status, &*response.body), (204, ""));
        }
    }
    let missing = "/cp/admin/partner-keys/pak_01J9ZK6V3QG8W0T5N4R2M7XACD";
    revoke(&server.admin(), missing, "wait=30").problem(404, "not-found");
}

fn a_key_that_revokes_itself_gets_a_receipt(store: Store) {
    let (first, second) = (store.start(), store.start());
    let key = known_key(&[&first, &second]);
    let receipt = revoke(&key, &key.path(), "wait=10").expect(200);
    assert_eq!(named(&receipt, "confirmed"), ids(&second), "{receipt:#}");
    let again = revoke(&key, &key.path(), "wait=10");
    again.problem(401, "key-revoked");
}

fn a_second_revocation_has_a_receipt_of_its_own(store: Store) {
    let (first, second) = (store.start(), store.start());
    let key = first.key(&["orgs:list"]);
    assert_eq!(first.admin().delete(&key.path()).status, 204);
    let receipt = revoke(&second.admin(), &key.path(), "wait=10").expect(200);
    assert_eq!(named(&receipt, "confirmed"), ids(&first), "{receipt:#}");
    let read = first.admin().get(&key.path()).expect(200);
    assert_eq!(read["revoked_at"], receipt["revoked_at"]);
}

fn a_paused_instance_is_unconfirmed_and_refuses_the_key_when_it_goes_on(store: Store) {
    let (first, second) = (store.start(), store.start());
    let key = known_key(&[&first, &second]);
    second.pause();
    let began = Instant::now();
    let receipt = revoke(&first.admin(), &key.path(), "wait=1").expect(200);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let confirmed = named(&receipt, "confirmed");
    assert_eq!(confirmed.len(), 1, "{receipt:#}");
    let unconfirmed = named(&receipt, "unconfirmed");
    assert_eq!(unconfirmed.len(), 1, "{receipt:#}");
    sleep(Duration::from_millis(2100).saturating_sub(began.elapsed()));
    // The call is there before the server goes on, so nothing can come before it.
    let refused = thread::scope(|scope| {
        let call = scope.spawn(|| second.with_token(key.token()).get("/cp/orgs"));
        sleep(Duration::from_millis(300));
        second.resume();
        call.join().unwrap()
    });
    refused.problem(401, "key-revoked");
    assert_eq!(other(&first, &confirmed), *unconfirmed.first().unwrap());
    // It takes part again.
    let key = known_key(&[&first, &second]);
    let receipt = revoke(&first.admin(), &key.path(), "wait=10").expect(200);
    assert_eq!(named(&receipt, "confirmed").len(), 2, "{receipt:#}");
}

fn a_killed_instance_is_not_waited_for_once_it_is_dead(store: Store) {
    let (first, mut second) = (store.start(), store.start());
    second.kill();
    let key = first.key(&["orgs:list"]);
    let began = Instant::now();
    let receipt = revoke(&first.admin(), &key.path(), "wait=30").expect(200);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert_eq!(named(&receipt, "unconfirmed").len(), 1, "{receipt:#}");
    assert_eq!(named(&receipt, "confirmed").len(), 1, "{receipt:#}");
    let key = first.key(&["orgs:list"]);
    let receipt = revoke(&first.admin(), &key.path(), "wait=30").expect(200);
    assert_eq!(receipt["unconfirmed"], json!([]), "it was dead before");
}

/// What is answered to a revocation by the first server while it waits for the second one, which is paused.
fn while_it_waits(first: &Server, second: &Server, act: impl FnOnce()) -> (Response, Duration) {
    let key = first.key(&["orgs:list"]);
    second.pause();
    thread::scope(|scope| {
        let waits = scope.spawn(|| revoke(&first.admin(), &key.path(), "wait=30"));
        sleep(Duration::from_millis(700));
        assert!(!waits.is_finished(), "{:#?}", waits.join());
        let began = Instant::now();
        act();
        (waits.join().unwrap(), began.elapsed())
    })
}

fn a_server_that_stops_answers_whoever_waits_for_a_receipt(store: Store) {
    let (first, second) = (store.start(), store.start());
    let id = first.process().to_string();
    let (response, took) = while_it_waits(&first, &second, || {
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
    });
    assert!(took < Duration::from_secs(2), "{took:?}");
    let receipt = response.expect(200);
    assert_eq!(named(&receipt, "confirmed").len(), 1, "{receipt:#}");
    assert_eq!(named(&receipt, "unconfirmed").len(), 1, "{receipt:#}");
}

fn whoever_closes_the_connection_gets_what_is_known(store: Store) {
    let (first, second) = (store.start(), store.start());
    let key = first.key(&["orgs:list"]);
    second.pause();
    let mut wire = Wire::new(&first);
    let head = format!(
        "DELETE {} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nprefer: wait=30\r\n\r\n",
        key.path(),
        ADMIN_KEY
    );
    wire.send(&head);
    sleep(Duration::from_millis(500));
    let began = Instant::now();
    let response = wire.half_close().response();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(response.status, 200, "{response:#?}");
    let receipt = response.json();
    assert_eq!(named(&receipt, "unconfirmed").len(), 1, "{receipt:#}");
}
