//! `Prefer: wait` on the status of an org, and what clients are told to wait otherwise.

use std::{
    thread,
    time::{Duration, Instant},
};

use orgs::{OrgStatus, OrgVisibility};
use serde_json::json;
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};

use crate::kit::{ALL_SCOPES, Caller, Response, Store, Wire, eventually};

on_both_engines![
    a_wait_is_applied_and_what_is_malformed_is_ignored,
    a_new_org_is_waited_for,
    a_response_is_held_until_another_process_changes_the_org,
    a_response_is_held_until_this_server_changes_the_org,
    a_poll_that_times_out_shows_the_current_status,
    a_key_that_was_revoked_meanwhile_is_refused,
    a_poll_ends_with_its_client_and_is_audited,
    a_client_that_sends_no_more_has_one_event_for_its_poll,
    a_server_that_stops_answers_held_polls,
    retry_after_is_estimated_from_the_last_orgs,
];

/// Changes an org as another process would.
fn change(store: &Store, id: &str, change: impl Fn(&mut orgs::Org) + Send + 'static) {
    let (id, url) = (id.parse().unwrap(), store.database_url());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let changed = async {
        let db = SqlDatabase::open(&url.parse().unwrap()).unwrap();
        db.write(move |tx| {
            let mut org = tx.org_for_update(OrgVisibility::All, id)?.unwrap();
            change(&mut org);
            tx.org_update(&org, None)
        })
        .await
    };
    let changed: Result<(), StoreError> = runtime.unwrap().block_on(changed);
    changed.unwrap();
}

fn set(store: &Store, id: &str, status: OrgStatus) {
    change(store, id, move |org| org.status = status);
}

/// An org that is being made, and never will be.
pub fn held(store: &Store, key: &Caller, slug: &str) -> String {
    let org = key.org(slug);
    let id = org["id"].as_str().unwrap().to_owned();
    set(store, &id, OrgStatus::Provisioning);
    eventually("it is pending", || {
        let status = key.get(&format!("/cp/orgs/{id}/status")).expect(200);
        (status["status"] == "provisioning").then_some(())
    });
    id
}

fn ask(key: &Caller, id: &str, prefer: &str) -> Response {
    let path = format!("/cp/orgs/{id}/status");
    key.send("GET", &path, &[("prefer", prefer)], b"")
}

/// What is done while somebody waits, and how long the response took from then on.
fn meanwhile(key: &Caller, id: &str, act: impl FnOnce()) -> (Response, Duration) {
    thread::scope(|scope| {
        let asked = scope.spawn(|| ask(key, id, "wait=20"));
        thread::sleep(Duration::from_millis(700));
        assert!(!asked.is_finished(), "{:#?}", asked.join());
        act();
        let began = Instant::now();
        (asked.join().unwrap(), began.elapsed())
    })
}

fn a_wait_is_applied_and_what_is_malformed_is_ignored(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    for (prefer, applied) in [
        ("wait=10", Some("wait=10")),
        ("respond-async, WAIT=0", Some("wait=0")),
        ("wait=3600", Some("wait=50")),
        ("wait=soon", None),
        ("wait", None),
        ("return=minimal", None),
    ] {
        let response = ask(&key, id, prefer);
        assert_eq!(response.expect(200)["status"], "ready");
        let actual = response.header_if_any("preference-applied");
        assert_eq!(actual, applied, "{prefer}");
        assert_eq!(response.header_if_any("retry-after"), None);
    }
    // Elsewhere it means nothing, and does no harm.
    let body = br#"{"name": "a", "slug": "acme-two", "plan": "free"}"#;
    let created = key.send("POST", "/cp/orgs", &[("prefer", "wait=30")], body);
    created.expect(201);
    assert_eq!(created.header_if_any("preference-applied"), None);
}

fn a_new_org_is_waited_for(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for n in 0..5 {
        let request = json!({"name": "a", "slug": format!("acme-{n}"), "plan": "free"});
        let org = key.post("/cp/orgs", request).expect(201);
        let id = org["id"].as_str().unwrap();
        assert_eq!(ask(&key, id, "wait=20").expect(200)["status"], "ready");
        let going = key.delete(&format!("/cp/orgs/{id}")).expect(202);
        assert_eq!(going["status"], "deprovisioning");
        assert_eq!(ask(&key, id, "wait=20").expect(200)["status"], "deleted");
    }
}

fn a_response_is_held_until_another_process_changes_the_org(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = held(&store, &key, "acme-corp");
    let before = server.events("action=org.status").len();
    let (response, took) = meanwhile(&key, &id, || set(&store, &id, OrgStatus::Ready));
    assert_eq!(response.expect(200)["status"], "ready");
    assert_eq!(response.header("preference-applied"), "wait=20");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(server.events("action=org.status").len(), before + 1);
}

fn a_response_is_held_until_this_server_changes_the_org(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = held(&store, &key, "acme-corp");
    let (response, took) = meanwhile(&key, &id, || {
        key.delete(&format!("/cp/orgs/{id}")).expect(202);
    });
    let status = response.expect(200)["status"].clone();
    assert!(
        [json!("deprovisioning"), json!("deleted")].contains(&status),
        "{response:#?}"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn a_poll_that_times_out_shows_the_current_status(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = held(&store, &key, "acme-corp");
    let began = Instant::now();
    let response = ask(&key, &id, "wait=2");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(response.expect(200)["status"], "provisioning");
    assert_eq!(response.header("preference-applied"), "wait=2");
    assert!(response.header("retry-after").parse::<u64>().unwrap() >= 1);
    response.event();
}

fn a_key_that_was_revoked_meanwhile_is_refused(store: Store) {
    let server = store.start();
    let owner = server.key(ALL_SCOPES);
    let key = server.key_of(owner.partner_id(), &["orgs:list"]);
    let id = held(&store, &owner, "acme-corp");
    let query = format!("action=org.status&key_id={}", key.id());
    let (response, _) = meanwhile(&key, &id, || {
        assert_eq!(key.delete(&key.path()).status, 204);
        owner.delete(&format!("/cp/orgs/{id}")).expect(202);
    });
    response.problem(401, "key-revoked");
    let events = server.events(&query);
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["id"], response.event());
}

fn a_poll_ends_with_its_client_and_is_audited(store: Store) {
    let server = store.start();
    let owner = server.key(ALL_SCOPES);
    let key = server.key_of(owner.partner_id(), &["orgs:list"]);
    let id = held(&store, &owner, "acme-corp");
    let request = format!(
        "GET /cp/orgs/{id}/status HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer {}\r\n\
         Prefer: wait=50\r\n\r\n",
        key.token()
    );
    let began = Instant::now();
    let mut gone = Wire::new(&server);
    gone.send(&request);
    // One that only sends no more looks the same, and gets what is known.
    let mut waiting = Wire::new(&server);
    waiting.send(&request);
    thread::sleep(Duration::from_millis(500));
    drop(gone);
    let response = waiting.half_close().response();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.json()["status"], "provisioning");
    waiting.expect_end();
    let query = format!("action=org.status&key_id={}", key.id());
    eventually("both calls have their events", || {
        (server.events(&query).len() == 2).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(25));
}

/// Also where its end comes while the event is being written.
fn a_client_that_sends_no_more_has_one_event_for_its_poll(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = key.org("acme-corp")["id"].as_str().unwrap().to_owned();
    key.wait(&id, "ready");
    let query = format!("action=org.status&key_id={}", key.id());
    let before = server.events(&query).len();
    let request = format!(
        "GET /cp/orgs/{id}/status HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer {}\r\n\
         Prefer: wait=10\r\n\r\n",
        key.token()
    );
    const POLLS: usize = 30;
    for _ in 0..POLLS {
        let mut wire = Wire::new(&server);
        let response = wire.send(&request).half_close().response();
        assert_eq!(response.status, 200, "{response:?}");
    }
    eventually("all have their events", || {
        (server.events(&query).len() >= before + POLLS).then_some(())
    });
    assert_eq!(server.events(&query).len(), before + POLLS);
}

fn a_server_that_stops_answers_held_polls(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let id = held(&store, &key, "acme-corp");
    thread::scope(|scope| {
        let asked: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| ask(&key, &id, "wait=25")))
            .collect();
        thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        let (status, log) = server.terminate(Duration::from_secs(10));
        assert!(status.success(), "{log}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        for asked in asked {
            let response = asked.join().unwrap();
            assert_eq!(response.expect(200)["status"], "provisioning");
            response.event();
        }
    });
}

fn retry_after_is_estimated_from_the_last_orgs(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    for (slug, seconds) in [("acme-one", 40), ("acme-two", 90), ("acme-three", 50)] {
        let org = key.org(slug);
        change(&store, org["id"].as_str().unwrap(), move |org| {
            org.ready_at = Some(org.created_at + Duration::from_secs(seconds));
        });
    }
    let id = held(&store, &key, "acme-corp");
    // The one that is held was ready at once; of the four the third longest is in the middle.
    let actual = eventually("the figure is known", || {
        thread::sleep(Duration::from_millis(500));
        let response = ask(&key, &id, "return=minimal");
        let wait: u64 = response.header("retry-after").parse().unwrap();
        (wait > 1).then_some(wait)
    });
    assert!((20..=50).contains(&actual), "{actual}");
}
