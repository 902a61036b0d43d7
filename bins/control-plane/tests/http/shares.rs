//! What one credential may hold of what all share: held polls, running calls, kept answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use orgs::OrgVisibility;
use serde_json::{Value, json};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};

use crate::{
    again::{is_replay, post},
    connections::bounds::start_with_descriptors,
    kit::{ALL_SCOPES, Caller, Server, Store, Wire, eventually},
    long_polls::held,
};

on_both_engines![
    a_key_and_an_address_hold_their_share_of_polls,
    a_key_has_its_share_of_running_calls_with_an_idempotency_key,
    a_key_has_its_share_of_kept_answers,
];

/// How many of each a process with 256 descriptors has: as many as it has connections.
const CAPACITY: usize = 192;
/// How many one credential gets of them when nobody else has any.
const SHARE: usize = CAPACITY / 2;

/// A server with few connections, which believes what the test says of client addresses.
fn small(store: &Store) -> Server {
    let settings = [("MOLECULE_CP_TRUSTED_PROXIES", "127.0.0.1")];
    start_with_descriptors(store, (256, 256), &settings)
}

fn request(server: &Server, key: &Caller, line: &str, headers: &str) -> Wire {
    let mut wire = Wire::new(server);
    wire.send(format!(
        "{line} HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        key.token()
    ));
    wire
}

/// The value of a metric.
fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.anon().get("/metrics").body;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}

#[track_caller]
fn wait_for_held_polls(server: &Server, count: usize) {
    eventually(&format!("{count} polls are held"), || {
        (metric(server, "molecule_held_polls") == u64::try_from(count).unwrap()).then_some(())
    });
}

fn a_key_and_an_address_hold_their_share_of_polls(store: Store) {
    let server = small(&store);
    let (greedy, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let (of_greedy, of_other) = (
        held(&store, &greedy, "acme-corp"),
        held(&store, &other, "acme-labs"),
    );
    let poll = |key, org: &str, address: &str| {
        let line = format!("GET /cp/orgs/{org}/status");
        let headers = format!("Prefer: wait=50\r\nX-Forwarded-For: {address}\r\n");
        request(&server, key, &line, &headers)
    };
    #[track_caller]
    fn is_answered_at_once(mut poll: Wire) {
        let response = poll.response();
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["status"], "provisioning");
        assert_eq!(response.header_if_any("preference-applied"), None);
        response.header("retry-after");
    }
    let mut polls: Vec<_> = (0..SHARE)
        .map(|_| poll(&greedy, &of_greedy, "192.0.2.1"))
        .collect();
    wait_for_held_polls(&server, SHARE);
    is_answered_at_once(poll(&greedy, &of_greedy, "192.0.2.1"));
    is_answered_at_once(poll(&greedy, &of_greedy, "192.0.2.2"));
    is_answered_at_once(poll(&other, &of_other, "192.0.2.1"));
    let others = poll(&other, &of_other, "192.0.2.2");
    wait_for_held_polls(&server, SHARE + 1);
    let refused = |share| {
        metric(
            &server,
            &format!("molecule_held_polls_total{{state=\"{share}\"}}"),
        )
    };
    assert_eq!(
        (refused("over_key_share"), refused("over_address_share")),
        (2, 1)
    );
    // What is given back can be had again.
    polls.truncate(SHARE / 2);
    wait_for_held_polls(&server, SHARE / 2 + 1);
    let again = poll(&greedy, &of_greedy, "192.0.2.1");
    wait_for_held_polls(&server, SHARE / 2 + 2);
    drop((others, again));
}

/// Keeps others from changing an org until `released`.
fn lock(store: &Store, org: &str, locked: &Arc<AtomicBool>, released: &Arc<AtomicBool>) {
    let (id, url) = (org.parse().unwrap(), store.database_url());
    let (locked, released) = (Arc::clone(locked), Arc::clone(released));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let held = async {
        let db = SqlDatabase::open(&url.parse().unwrap()).unwrap();
        db.write(move |tx| {
            tx.org_for_update(OrgVisibility::All, id)?;
            locked.store(true, Ordering::SeqCst);
            while !released.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        })
        .await
    };
    let held: Result<(), StoreError> = runtime.unwrap().block_on(held);
    held.unwrap();
}

fn a_key_has_its_share_of_running_calls_with_an_idempotency_key(store: Store) {
    const CALLS: usize = SHARE + 14;
    let server = small(&store);
    let (greedy, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let leased = |key: &Caller, slug: &str| {
        let request = json!({"name": slug, "slug": slug, "plan": "free", "ttl_seconds": 3600});
        let org = key.post("/cp/orgs", request).expect(201);
        let id = org["id"].as_str().unwrap().to_owned();
        key.wait(&id, "ready");
        id
    };
    let (of_greedy, of_other) = (leased(&greedy, "acme-corp"), leased(&other, "acme-labs"));
    let renewal = |key, org: &str, number: usize| {
        let body = r#"{"ttl_seconds": 3600}"#;
        let headers = format!(
            "Idempotency-Key: renewal-{number}\r\nContent-Length: {}\r\n",
            body.len()
        );
        let mut wire = request(
            &server,
            key,
            &format!("POST /cp/orgs/{org}/renew"),
            &headers,
        );
        wire.send(body);
        wire
    };
    let (locked, released) = (Arc::default(), Arc::default());
    let (calls, mut others) = thread::scope(|scope| {
        scope.spawn(|| lock(&store, &of_greedy, &locked, &released));
        eventually("the org is locked", || {
            locked.load(Ordering::SeqCst).then_some(())
        });
        let calls: Vec<_> = (0..CALLS)
            .map(|number| renewal(&greedy, &of_greedy, number))
            .collect();
        let others = renewal(&other, &of_other, 0);
        // Storage waits seven seconds for a lock, so the org is free again as soon as those beyond the share are
        // refused. SQLite's file is locked as a whole, and nothing is answered before: all have come by then.
        let over = u64::try_from(CALLS - SHARE).unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            let metrics = server.anon().get("/metrics").body;
            let name =
                "molecule_rate_limit_decisions_total{limit=\"idempotency\",outcome=\"limited\"} ";
            let refused = metrics.lines().find_map(|line| line.strip_prefix(name));
            if refused.is_some_and(|count| count.parse::<u64>().unwrap() >= over) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        released.store(true, Ordering::SeqCst);
        (calls, others)
    });
    let responses: Vec<_> = calls.into_iter().map(|mut call| call.response()).collect();
    let (renewed, refused): (Vec<_>, Vec<_>) = responses
        .into_iter()
        .partition(|response| response.status == 200);
    assert!((SHARE..CALLS).contains(&renewed.len()), "{}", renewed.len());
    for response in &refused {
        response.problem(429, "rate-limited");
        assert_eq!(response.json()["violated-policies"], json!(["idempotency"]));
        response.header("retry-after");
    }
    assert_eq!(others.response().status, 200);
    // The share is free again.
    assert_eq!(renewal(&greedy, &of_greedy, CALLS).response().status, 200);
}

fn a_key_has_its_share_of_kept_answers(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_IDEMPOTENCY_LIMIT", "3/86400")]);
    let (greedy, other) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
    let create = |key: &Caller, number: usize| {
        let slug = format!("acme-{}-{number}", key.id()[24..].to_ascii_lowercase());
        let body = json!({"name": "Acme", "slug": slug, "plan": "free"});
        post(key, "/cp/orgs", &format!("call-{number}"), &body)
    };
    let kept: Vec<_> = (0..3).map(|number| create(&greedy, number)).collect();
    for response in &kept {
        response.expect(201);
    }
    let refused = create(&greedy, 3);
    let problem = refused.problem(429, "rate-limited");
    assert_eq!(problem["violated-policies"], json!(["idempotency"]));
    let retry: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=86_400 / 3).contains(&retry), "{retry}");
    assert_eq!(
        greedy.all("/cp/orgs").len(),
        3,
        "what is refused changes nothing"
    );
    // What is kept stays, calls without a key are not concerned, and nobody else is.
    for (number, response) in kept.iter().enumerate() {
        is_replay(response, &create(&greedy, number));
    }
    let plain = json!({"name": "Acme", "slug": "acme-plain", "plan": "free"});
    greedy.post("/cp/orgs", plain).expect(201);
    create(&other, 3).expect(201);
    assert_eq!(
        create(&greedy, 3).json()["code"],
        Value::from("rate-limited")
    );
}
