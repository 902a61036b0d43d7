//! One instance of two is cut off from Redis, from PostgreSQL, or from both.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{postgres::Server as Postgres, redis::Server as Redis, relay::Relay};

use crate::{
    instances::ids,
    kit::{Caller, Response, Server, Store, eventually, within},
};

/// How long an instance trusts what it has cached.
const TRUST: Duration = Duration::from_secs(2);
/// For answers and recovery.
const LIMIT: Duration = Duration::from_secs(10);

/// Two instances; the second one has relays to what they share.
struct Pair {
    first: Server,
    second: Server,
    to_postgres: Relay,
    to_redis: Relay,
    _stores: [Store; 2],
    _redis: Redis,
    _postgres: Postgres,
}

impl Pair {
    /// `None` where PostgreSQL or Redis is not installed.
    fn start() -> Option<Self> {
        let (postgres, redis) = (Postgres::start()?, Redis::start(&[])?);
        let (to_postgres, to_redis) = (Relay::to(postgres.port()), Relay::to(redis.port()));
        let url = postgres.new_database();
        let start = |store: &Store, redis_url: &str| {
            store.start_with(&[
                ("MOLECULE_CP_REDIS_URL", redis_url),
                (
                    "MOLECULE_CP_PEPPER",
                    "a pepper of two instances, long enough",
                ),
            ])
        };
        let stores = [
            Store::at(url.clone()),
            Store::at(to_postgres.url(&url, postgres.port())),
        ];
        let first = start(&stores[0], &redis.url());
        let second = start(&stores[1], &to_redis.url(&redis.url(), redis.port()));
        Some(Self {
            first,
            second,
            to_postgres,
            to_redis,
            _stores: stores,
            _redis: redis,
            _postgres: postgres,
        })
    }

    /// A key that both instances have cached, and a caller with it for each.
    fn known_key(&self, request: serde_json::Value) -> (Caller, Caller) {
        let on_first = self.first.issue(request);
        let on_second = self.second.with_token(on_first.token());
        for caller in [&on_first, &on_second] {
            caller.get("/cp/whoami").expect(200);
        }
        (on_first, on_second)
    }

    fn revoke(&self, key: &Caller) -> Response {
        let admin = self.first.admin();
        admin.send("DELETE", &key.path(), &[("prefer", "wait=1")], b"")
    }
}

/// How many of so many calls are answered with 200; the others are limited.
fn answered(caller: &Caller, calls: usize) -> usize {
    let statuses = (0..calls).map(|_| caller.get("/cp/whoami").status);
    statuses
        .inspect(|status| assert!([200, 429].contains(status), "{status}"))
        .filter(|status| *status == 200)
        .count()
}

#[test]
fn without_redis_an_instance_goes_on_with_its_share_of_the_limit() {
    let Some(pair) = Pair::start() else {
        return;
    };
    let limit = json!({"limit": 100, "window_seconds": 86_400});
    let (first, second) = pair.known_key(json!({"scopes": ["orgs:list"], "rate_limit": limit}));
    pair.to_redis.cut();
    // The first call meets the closed connection, and is decided without it.
    let alone = answered(&second, 150);
    assert!((1..=50).contains(&alone), "{alone} of its half");
    let shared = answered(&first, 150);
    assert!((90..=100).contains(&shared), "{shared} of the whole limit");
    pair.to_redis.restore();
    eventually("the instance shares its limits again", || {
        let metrics = pair.second.anon().get("/metrics").body;
        metrics
            .contains("molecule_limits_partitioned 0")
            .then_some(())
    });
    second.get("/cp/whoami").problem(429, "rate-limited");
}

/// Without the database nothing can be recorded, so nothing is answered; with it, the key is revoked.
fn accepts_no_revoked_key(pair: &Pair, cut_off: impl FnOnce(), reconnect: impl FnOnce()) {
    let (first, second) = pair.known_key(json!({"scopes": ["orgs:list"]}));
    cut_off();
    let revoked = Instant::now();
    let receipt = pair.revoke(&first).expect(200);
    assert_eq!(
        receipt["confirmed"].as_array().unwrap().len(),
        1,
        "{receipt}"
    );
    assert_eq!(
        receipt["unconfirmed"].as_array().unwrap().len(),
        1,
        "{receipt}"
    );
    first.get("/cp/whoami").problem(401, "key-revoked");
    sleep(TRUST.saturating_sub(revoked.elapsed()));
    let begun = Instant::now();
    second.get("/cp/whoami").problem(503, "unavailable");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    pair.second
        .anon()
        .get("/readyz")
        .problem(503, "unavailable");
    pair.first.anon().get("/readyz").expect(200);
    reconnect();
    within(LIMIT, "the instance is ready", || {
        let response = second.get("/cp/whoami");
        assert_ne!(response.status, 200, "a revoked key was accepted");
        (pair.second.anon().get("/readyz").status == 200 && response.status == 401).then_some(())
    });
    within(LIMIT, "both instances are listed", || {
        (ids(&pair.second).len() == 2).then_some(())
    });
}

#[test]
fn an_instance_that_is_cut_off_from_postgres_accepts_no_revoked_key() {
    let Some(pair) = Pair::start() else {
        return;
    };
    let relay = &pair.to_postgres;
    accepts_no_revoked_key(&pair, || relay.cut(), || relay.restore());
    accepts_no_revoked_key(&pair, || relay.silence(), || relay.restore());
}

#[test]
fn an_instance_that_is_cut_off_from_both_accepts_no_revoked_key() {
    let Some(pair) = Pair::start() else {
        return;
    };
    let relays = [&pair.to_postgres, &pair.to_redis];
    let restore = || relays.map(Relay::restore);
    accepts_no_revoked_key(&pair, || _ = relays.map(Relay::cut), || _ = restore());
    accepts_no_revoked_key(&pair, || _ = relays.map(Relay::silence), || _ = restore());
}
