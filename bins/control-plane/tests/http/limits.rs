//! Rate limits: what they say, whom they hold, and what they never hold.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::kit::{Caller, Response, Server, Store, tokens, within};

on_both_engines![
    every_answer_to_a_key_tells_its_limit,
    a_key_over_its_limit_is_refused_and_another_is_not,
    a_burst_is_refilled_evenly,
    the_keys_of_a_partner_share_its_budget,
    an_admin_key_has_its_own_limit,
    a_flood_does_not_stop_a_keys_own_revocation,
    refusals_are_folded_to_one_event_a_second,
    unknown_tokens_are_limited_by_address_and_known_keys_are_not,
    a_limit_that_is_narrowed_holds_at_once,
];

fn limited(server: &Server, limit: u32, window: u32) -> Caller {
    let limit = json!({"limit": limit, "window_seconds": window});
    server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}))
}

/// The remaining calls and the seconds until all are back, of the one limit that is told.
#[track_caller]
fn left(response: &Response, name: &str) -> (u64, u64) {
    let text = response.header("ratelimit");
    let rest = text
        .strip_prefix(&format!("\"{name}\";r="))
        .unwrap_or_else(|| panic!("{response:#?}"));
    let (left, seconds) = rest
        .split_once(";t=")
        .unwrap_or_else(|| panic!("{response:#?}"));
    (left.parse().unwrap(), seconds.parse().unwrap())
}

#[track_caller]
fn is_limited(response: &Response, policies: &[&str]) -> u64 {
    let problem = response.problem(429, "rate-limited");
    assert_eq!(
        problem["violated-policies"],
        json!(policies),
        "{response:#?}"
    );
    let wait = response.header("retry-after").parse().unwrap();
    assert!(wait >= 1, "{response:#?}");
    wait
}

fn every_answer_to_a_key_tells_its_limit(store: Store) {
    let server = store.start();
    let key = limited(&server, 50, 3600);
    for (n, (method, path, status)) in [
        ("GET", "/cp/whoami", 200),
        ("GET", "/cp/orgs", 200),
        ("GET", "/cp/orgs/nonsense", 404),
        ("GET", "/cp/nothing", 404),
        ("PUT", "/cp/orgs", 405),
        ("POST", "/cp/orgs", 403),
        ("GET", "/cp/admin/partners", 403),
        ("GET", "/cp/orgs?limit=0", 400),
    ]
    .into_iter()
    .enumerate()
    {
        let response = key.call(method, path, json!(null));
        assert_eq!(response.status, status);
        assert_eq!(response.header("ratelimit-policy"), "\"key\";q=50;w=3600");
        let (remaining, seconds) = left(&response, "key");
        let used = u64::try_from(n).unwrap() + 1;
        assert_eq!(remaining, 50 - used, "{response:#?}");
        // A call is back after 72 seconds.
        assert!(
            seconds <= 72 * used && seconds + 30 > 72 * used,
            "{response:#?}"
        );
    }
    let revoked = key.delete(&key.path());
    assert_eq!(revoked.status, 204);
    let policy = revoked.header("ratelimit-policy");
    assert!(
        policy.starts_with('"') && policy.contains(";q=") && policy.contains(";w="),
        "{policy}"
    );
    let dead = key.get("/cp/whoami");
    dead.problem(401, "key-revoked");
    assert_eq!(dead.header("ratelimit-policy"), "\"key\";q=50;w=3600");
    let default = server.key(&["orgs:list"]).get("/cp/whoami");
    assert_eq!(default.header("ratelimit-policy"), "\"key\";q=600;w=60");
}

fn a_key_over_its_limit_is_refused_and_another_is_not(store: Store) {
    let server = store.start();
    let (key, other) = (limited(&server, 3, 3600), limited(&server, 3, 3600));
    for remaining in [2, 1, 0] {
        let response = key.get("/cp/orgs");
        response.expect(200);
        assert_eq!(left(&response, "key").0, remaining);
    }
    for path in [
        "/cp/orgs",
        "/cp/whoami",
        "/cp/nothing",
        "/cp/admin/partners",
    ] {
        let response = key.get(path);
        let wait = is_limited(&response, &["key"]);
        assert!((1100..=1200).contains(&wait), "{response:#?}");
        assert_eq!(left(&response, "key").0, 0);
        response.event();
    }
    let response = key.post("/cp/orgs", json!({"name": "a"}));
    is_limited(&response, &["key"]);
    assert_eq!(left(&other.get("/cp/orgs"), "key").0, 2);
    server.admin().get("/cp/whoami").expect(200);
}

fn a_burst_is_refilled_evenly(store: Store) {
    let server = store.start();
    let key = limited(&server, 2, 4);
    key.get("/cp/orgs").expect(200);
    key.get("/cp/orgs").expect(200);
    let refused = key.get("/cp/orgs");
    let began = Instant::now();
    let wait = is_limited(&refused, &["key"]);
    assert!((1..=2).contains(&wait), "{refused:#?}");
    thread::sleep(Duration::from_secs(wait));
    key.get("/cp/orgs").expect(200);
    if began.elapsed() < Duration::from_secs(3) {
        is_limited(&key.get("/cp/orgs"), &["key"]);
    }
}

fn the_keys_of_a_partner_share_its_budget(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({"rate_limit": {"limit": 4, "window_seconds": 3600}}));
    // However slow the machine, no call refills while the test runs.
    let limit = json!({"limit": 600, "window_seconds": 86_400});
    let keys = [(); 2].map(|()| {
        server.issue(json!({"partner_id": partner, "scopes": ["orgs:list"], "rate_limit": limit}))
    });
    for n in 0..4 {
        let response = keys[n % 2].get("/cp/whoami");
        let who = response.expect(200);
        assert_eq!(
            response.header("ratelimit-policy"),
            "\"key\";q=600;w=86400, \"partner\";q=4;w=3600"
        );
        let text = response.header("ratelimit");
        let (of_key, of_partner) = text.split_once(", ").unwrap();
        assert!(
            of_key.starts_with(&format!("\"key\";r={};t=", 599 - n / 2)),
            "{text}"
        );
        assert!(
            of_partner.starts_with(&format!("\"partner\";r={};t=", 3 - n)),
            "{text}"
        );
        assert_eq!(who["limits"][1]["name"], "partner");
        assert_eq!(who["limits"][1]["remaining"], 3 - n);
    }
    for key in &keys {
        let response = key.get("/cp/whoami");
        is_limited(&response, &["partner"]);
    }
    let other = server.key(&["orgs:list"]);
    other.get("/cp/whoami").expect(200);
    assert_eq!(keys[0].delete(&keys[0].path()).status, 204);
}

fn an_admin_key_has_its_own_limit(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_ADMIN_RATE_LIMIT", "5/3600")]);
    let key = server.key(&["orgs:list"]);
    let admin = server.admin();
    for n in 0..4 {
        let response = admin.get("/cp/whoami");
        response.expect(200);
        assert_eq!(response.header("ratelimit-policy"), "\"admin\";q=5;w=3600");
        assert_eq!(left(&response, "admin").0, 3 - n);
    }
    is_limited(&admin.get("/cp/whoami"), &["admin"]);
    is_limited(&admin.delete(&key.path()), &["admin"]);
    key.get("/cp/whoami").expect(200);
}

fn a_flood_does_not_stop_a_keys_own_revocation(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({"rate_limit": {"limit": 3, "window_seconds": 3600}}));
    let key = server.key_of(&partner, &["orgs:list"]);
    thread::scope(|scope| {
        let floods: Vec<_> = (0..3)
            .map(|_| {
                let key = key.clone();
                scope.spawn(move || {
                    loop {
                        match key.get("/cp/orgs").status {
                            200 | 429 => {}
                            status => return status,
                        }
                    }
                })
            })
            .collect();
        within(Duration::from_secs(10), "the flood is refused", || {
            (key.get("/cp/orgs").status == 429).then_some(())
        });
        let response = key.delete(&key.path());
        assert_eq!(response.status, 204, "{response:#?}");
        for flood in floods {
            assert_eq!(flood.join().unwrap(), 401);
        }
    });
}

fn refusals_are_folded_to_one_event_a_second(store: Store) {
    let server = store.start();
    let key = limited(&server, 2, 86_400);
    key.get("/cp/orgs").expect(200);
    key.get("/cp/orgs").expect(200);
    let began = Instant::now();
    let mut refused = 0;
    let mut named = BTreeSet::new();
    while refused < 60 || began.elapsed() < Duration::from_millis(1200) {
        let response = key.get("/cp/orgs");
        is_limited(&response, &["key"]);
        named.insert(response.event().to_owned());
        refused += 1;
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    let query = format!("key_id={}&outcome=denied", key.id());
    let count = || {
        let events = server.events(&query);
        let counts = events
            .iter()
            .map(|event| event["details"]["count"].as_u64().unwrap_or(0));
        (counts.sum::<u64>() == refused).then_some(events)
    };
    let events = within(
        Duration::from_millis(1500),
        "all refusals are recorded",
        count,
    );
    assert!(
        (1..=seconds).contains(&events.len()),
        "{refused} in {}: {events:#?}",
        events.len()
    );
    for event in &events {
        assert_eq!(event["status_code"], 429);
        assert_eq!(event["actor"]["id"], key.id());
    }
    let ids: BTreeSet<_> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, named);
}

fn unknown_tokens_are_limited_by_address_and_known_keys_are_not(store: Store) {
    let server = store.start_with(&[("MOLECULE_CP_AUTH_FAILURE_LIMIT", "3/3600")]);
    let key = server.key(&["orgs:list"]);
    let revoked = server.key(&["orgs:list"]);
    server.admin().delete(&revoked.path());
    let guess = || {
        server
            .with_token(&tokens::well_formed("mol_pk_"))
            .get("/cp/orgs")
    };
    // What is refused by its form alone is no look-up.
    for _ in 0..5 {
        server
            .with_token(&tokens::mistyped(key.token()))
            .get("/cp/orgs")
            .problem(401, "invalid-key");
        server
            .anon()
            .get("/cp/orgs")
            .problem(401, "missing-credentials");
        revoked.get("/cp/orgs").problem(401, "key-revoked");
    }
    for _ in 0..3 {
        guess().problem(401, "invalid-key");
    }
    for response in [
        guess(),
        server.with_token("nonsense").get("/cp/whoami"),
        guess(),
    ] {
        let wait = is_limited(&response, &["address"]);
        assert!((1100..=1200).contains(&wait), "{response:#?}");
        assert_eq!(response.header_if_any("audit-event-id"), None);
    }
    for _ in 0..10 {
        key.get("/cp/orgs").expect(200);
    }
    server.admin().get("/cp/whoami").expect(200);
    revoked.get("/cp/orgs").problem(401, "key-revoked");
}

fn a_limit_that_is_narrowed_holds_at_once(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    for _ in 0..5 {
        key.get("/cp/orgs").expect(200);
    }
    let limit = json!({"rate_limit": {"limit": 3, "window_seconds": 86_400}});
    server.admin().patch(&key.path(), limit).expect(200);
    let statuses: Vec<_> = (0..5).map(|_| key.get("/cp/orgs").status).collect();
    assert!(
        statuses.iter().filter(|&&status| status == 200).count() <= 3,
        "{statuses:?}"
    );
    assert_eq!(statuses[4], 429);
}
