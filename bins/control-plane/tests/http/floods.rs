//! Floods that one credential, or none, can make, and what they must not reach.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    kit::{Caller, Server, Store, eventually, tokens, within},
    program::{succeeded, word},
};

on_both_engines![
    a_known_key_behind_a_flooded_address_always_gets_in,
    a_keys_own_revocation_is_never_limited,
    an_ill_formed_revocation_takes_nothing_from_a_well_formed_one,
    a_revocation_that_is_refused_is_limited,
    a_key_that_can_not_be_used_can_not_fill_the_log,
    a_revoked_admin_key_can_not_fill_the_log,
    unusable_keys_are_refused_alike_and_apart,
    floods_of_answers_that_no_limit_bounds_are_paced,
];

fn limited(server: &Server, limit: u32) -> Caller {
    let limit = json!({"limit": limit, "window_seconds": 86_400});
    server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit}))
}

/// Sends requests over one connection and gives the statuses of their responses.
fn statuses(key: &Caller, method: &str, path: &str, count: usize) -> Vec<u16> {
    let calls = (0..count).map(|_| key.call(method, path, Value::Null));
    calls.map(|response| response.status).collect()
}

fn a_known_key_behind_a_flooded_address_always_gets_in(store: Store) {
    // Keys that the server has never seen: another process has issued them.
    let keys: Vec<Caller> = {
        let server = store.start();
        (0..40).map(|_| server.key(&["orgs:list"])).collect()
    };
    let server = store.start_with(&[("MOLECULE_CP_AUTH_FAILURE_LIMIT", "3/86400")]);
    let keys = keys.iter().map(|key| server.with_token(key.token()));
    let keys: Vec<_> = keys.collect();
    let flood = |calls: usize| {
        for _ in 0..calls {
            let guess = tokens::well_formed("mol_pk_");
            let response = server.with_token(&guess).get("/cp/whoami");
            assert!([401, 429].contains(&response.status), "{response:#?}");
        }
    };
    flood(5);
    thread::scope(|scope| {
        let flooding: Vec<_> = (0..8).map(|_| scope.spawn(|| flood(60))).collect();
        let calling: Vec<_> = keys
            .chunks(10)
            .map(|keys| {
                scope.spawn(move || {
                    for key in keys {
                        key.get("/cp/whoami").expect(200);
                        key.get("/cp/orgs").expect(200);
                    }
                })
            })
            .collect();
        for thread in flooding.into_iter().chain(calling) {
            thread.join().unwrap();
        }
    });
    // The number is set once in a while.
    eventually("all look-ups of the flood were throttled", || {
        let metrics = server.anon().get("/metrics").body;
        let throttled = metrics
            .lines()
            .find_map(|line| line.strip_prefix("molecule_auth_lookups_throttled_total "))?;
        (throttled.parse::<u64>().ok()? >= 480).then_some(())
    });
}

fn a_keys_own_revocation_is_never_limited(store: Store) {
    let server = store.start();
    let partner = server.partner(json!({"rate_limit": {"limit": 3, "window_seconds": 86_400}}));
    let key = server.key_of(&partner, &["orgs:list"]);
    while key.get("/cp/whoami").status == 200 {}
    let response = key.delete(&key.path());
    assert_eq!(response.status, 204, "{response:#?}");
    response.event();
    assert_eq!(
        response.header("ratelimit-policy"),
        "\"key\";q=600;w=60, \"partner\";q=3;w=86400"
    );
    // From then on the key is revoked like any other.
    for _ in 0..3 {
        key.delete(&key.path()).problem(401, "key-revoked");
    }
}

fn an_ill_formed_revocation_takes_nothing_from_a_well_formed_one(store: Store) {
    let server = store.start();
    let key = limited(&server, 5);
    let path = format!("{}?x=1", key.path());
    assert_eq!(
        statuses(&key, "DELETE", &path, 30),
        [[400; 5].as_slice(), &[429; 25]].concat()
    );
    // One whose body asks for something else, on a key whose limit is not used up.
    let other = limited(&server, 3);
    let wrong: Vec<u16> = (0..6)
        .map(|_| {
            other
                .call("DELETE", &other.path(), json!({"reason": "stolen"}))
                .status
        })
        .collect();
    assert_eq!(wrong, [422, 422, 422, 429, 429, 429]);
    let right = other.call("DELETE", &other.path(), json!({"reason": "leaked"}));
    assert_eq!(right.status, 204);
    let token = key.token();
    let broken = format!(
        "DELETE {} HTTP/1.1\r\nHost: cp\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 70000\r\n\r\n{}",
        key.path(),
        "x".repeat(70_000)
    );
    let response = server.raw(broken);
    assert!(response.starts_with("HTTP/1.1 429 "), "{response}");
    key.get("/cp/whoami").problem(429, "rate-limited");
    assert_eq!(key.delete(&key.path()).status, 204);
}

fn a_revocation_that_is_refused_is_limited(store: Store) {
    let server = store.start();
    let limit = json!({"limit": 4, "window_seconds": 86_400});
    let key = server.issue(json!({
        "scopes": ["orgs:list"], "rate_limit": limit, "allowed_cidrs": ["192.0.2.0/24"],
    }));
    assert_eq!(
        statuses(&key, "DELETE", &key.path(), 8),
        [403, 403, 403, 403, 429, 429, 429, 429]
    );
    // Another's revocation is no right of its own.
    let (key, other) = (limited(&server, 2), limited(&server, 2));
    assert_eq!(
        statuses(&key, "DELETE", &other.path(), 4),
        [404, 404, 429, 429]
    );
}

/// The refusals of a key by this code, as the log has them: how many events tell of one alone, and the
/// counts of those that tell of several.
fn refusals(server: &Server, key: &str, code: &str) -> (usize, Vec<u64>) {
    let events = server.events(&format!("key_id={key}&outcome=denied"));
    let events = events
        .iter()
        .filter(|event| event["details"]["code"] == code);
    let counts: Vec<_> = events
        .map(|event| event["details"]["count"].as_u64())
        .collect();
    let alone = counts.iter().filter(|count| count.is_none()).count();
    (alone, counts.into_iter().flatten().collect())
}

fn a_key_that_can_not_be_used_can_not_fill_the_log(store: Store) {
    let server = store.start();
    let key = limited(&server, 5);
    server.admin().delete(&key.path());
    let began = Instant::now();
    let mut named = BTreeSet::new();
    let mut calls = 0;
    while calls < 200 || began.elapsed() < Duration::from_millis(1200) {
        let response = key.get("/cp/orgs");
        response.problem(401, "key-revoked");
        named.insert(response.event().to_owned());
        calls += 1;
    }
    assert!(began.elapsed() < Duration::from_secs(55));
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    let counts = within(Duration::from_secs(5), "all refusals are recorded", || {
        let (alone, counts) = refusals(&server, key.id(), "key-revoked");
        (alone + usize::try_from(counts.iter().sum::<u64>()).unwrap() == calls)
            .then_some((alone, counts))
    });
    assert_eq!(counts.0, 60, "{counts:?}");
    assert!((1..=seconds).contains(&counts.1.len()), "{counts:?}");
    assert_eq!(named.len(), counts.0 + counts.1.len());
}

fn a_revoked_admin_key_can_not_fill_the_log(store: Store) {
    let server = store.start();
    let shown = succeeded(&store.run(&["admin-key", "create"], &[]));
    let (id, secret) = (word(&shown, "adm_"), word(&shown, "mol_ak_"));
    let revoked = server.with_token(&secret);
    revoked.get("/cp/whoami").expect(200);
    succeeded(&store.run(&["admin-key", "revoke", &id], &[]));
    let refused = || revoked.get("/cp/admin/orgs").status == 401;
    within(Duration::from_secs(2), "the key is refused", || {
        refused().then_some(())
    });
    let more = 150;
    for _ in 0..more {
        revoked.get("/cp/admin/orgs").problem(401, "key-revoked");
    }
    let (alone, counts) = within(Duration::from_secs(5), "all refusals are recorded", || {
        let (alone, counts) = refusals(&server, &id, "key-revoked");
        let all = alone + usize::try_from(counts.iter().sum::<u64>()).unwrap();
        (all == more + 1).then_some((alone, counts))
    });
    assert_eq!(alone, 60, "{counts:?}");
    // Another admin key is not concerned.
    server.admin().get("/cp/whoami").expect(200);
}

fn unusable_keys_are_refused_alike_and_apart(store: Store) {
    let server = store.start();
    let admin = server.admin();
    let disabled = server.key(&["orgs:list"]);
    admin
        .patch(&disabled.path(), json!({"disabled": true}))
        .expect(200);
    let other = server.key(&["orgs:list"]);
    admin.delete(&other.path());
    for _ in 0..70 {
        disabled.get("/cp/orgs").problem(401, "key-disabled");
    }
    // One key's refusals don't fold another's.
    other.get("/cp/orgs").problem(401, "key-revoked");
    within(Duration::from_secs(5), "all refusals are recorded", || {
        let (alone, counts) = refusals(&server, disabled.id(), "key-disabled");
        (alone == 60 && counts.iter().sum::<u64>() == 10).then_some(())
    });
    assert_eq!(refusals(&server, other.id(), "key-revoked"), (1, vec![]));
    // Once it can be used again, it is as before.
    admin
        .patch(&disabled.path(), json!({"disabled": false}))
        .expect(200);
    disabled.get("/cp/orgs").expect(200);
}

/// 2000 a second for each key and address, after the first 500.
fn floods_of_answers_that_no_limit_bounds_are_paced(store: Store) {
    let server = store.start();
    let (over, revoked) = (limited(&server, 1), server.key(&["orgs:list"]));
    let reader = limited(&server, 100_000);
    over.get("/cp/whoami").expect(200);
    assert_eq!(revoked.delete(&revoked.path()).status, 204);
    let attacks = [
        (&over, "/cp/whoami", 429),
        (&revoked, "/cp/whoami", 401),
        (&reader, "/cp/orgs/org_01HXKM4000000000000000000A", 404),
        (&server.anon(), "/readyz", 200),
        (&server.anon(), "/nothing", 404),
    ];
    for (caller, path, status) in attacks {
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    assert_eq!(statuses(caller, "GET", path, 100), [status; 100], "{path}");
                });
            }
        });
        // 1600 - 500 at 2000 a second.
        assert!(begun.elapsed() > Duration::from_millis(540), "{path}");
    }
    // A body of 64 KB counts as 15 answers, and the response as one.
    let writer = server.issue(json!({
        "scopes": ["orgs:create"], "rate_limit": {"limit": 100_000, "window_seconds": 60},
    }));
    let body = json!({"name": "n".repeat(65_000)});
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(writer.post("/cp/orgs", body.clone()).status, 422);
    }
    // 200 * 16 - 500 at 2000 a second.
    assert!(begun.elapsed() > Duration::from_millis(1300));
    // A body that is thrown away is read at the same rate: 1 MiB counts as 256 answers.
    let body = json!({"name": "n".repeat(1024 * 1024)});
    for (caller, status) in [(&over, 429), (&revoked, 401), (&server.anon(), 401)] {
        let begun = Instant::now();
        for _ in 0..8 {
            assert_eq!(caller.post("/cp/orgs", body.clone()).status, status);
        }
        // 8 * 257 - 500 at 2000 a second.
        assert!(begun.elapsed() > Duration::from_millis(770), "{status}");
    }
}
