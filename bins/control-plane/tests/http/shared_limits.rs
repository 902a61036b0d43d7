//! Rate limits that instances share through Redis: together, without it, and what is refused at the start.

use std::{fs, thread, time::Duration};

use serde_json::json;
use testkit::redis::Server as Redis;

use crate::kit::{Caller, Server, Store, eventually, tokens};

on_both_engines![
    two_instances_admit_one_limit,
    debts_outlive_an_instance,
    unknown_tokens_are_counted_together,
    a_redis_that_is_killed_opens_nothing_and_shuts_nobody_out,
    a_redis_that_is_missing_does_not_hold_up_the_start,
    a_redis_that_can_not_be_used_is_refused_at_the_start,
];

/// A limit that refills nothing while a test runs.
fn limit(calls: u32) -> serde_json::Value {
    json!({"limit": calls, "window_seconds": 86_400})
}

/// A server of this store that shares its limits.
fn sharing(store: &Store, redis: &Redis, mode: &str) -> Server {
    let url = redis.url();
    store.start_with(&[
        ("MOLECULE_CP_REDIS_URL", &url),
        ("MOLECULE_CP_LIMITS", mode),
    ])
}

/// How many of so many calls, made by turns, are answered.
fn answered(callers: &[Caller], calls: usize) -> usize {
    let mut answered = 0;
    for n in 0..calls {
        let response = callers[n % callers.len()].get("/cp/whoami");
        match response.status {
            200 => answered += 1,
            status => assert_eq!(status, 429, "{response:#?}"),
        }
    }
    answered
}

/// The value of a metric of a server.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.anon().get("/metrics").body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

/// Checks how many calls were answered. A machine that stands still for 50 ms has an instance decide by itself,
/// and each such decision may count a call once for each instance too often, or once too little.
#[track_caller]
fn check(answered: usize, expect: f64, servers: &[Server]) {
    let name = "molecule_limit_decisions_total{mode=\"fallback\"}";
    let decisions: f64 = servers.iter().map(|server| metric(server, name)).sum();
    let slack = decisions * f64::from(u32::try_from(servers.len()).unwrap());
    let answered = f64::from(u32::try_from(answered).unwrap());
    assert!(
        (answered - expect).abs() <= slack,
        "{answered} and not {expect}, slack {slack}"
    );
}

/// Waits until a server shares its limits, or does not.
#[track_caller]
fn wait_partitioned(server: &Server, expect: f64) {
    eventually(&format!("molecule_limits_partitioned is {expect}"), || {
        (metric(server, "molecule_limits_partitioned") == expect).then_some(())
    });
}

fn two_instances_admit_one_limit(store: Store) {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    for mode in ["exact", "leased"] {
        let servers = [sharing(&store, &redis, mode), sharing(&store, &redis, mode)];
        let key = servers[0].issue(json!({"scopes": ["orgs:list"], "rate_limit": limit(30)}));
        let both = [
            servers[0].with_token(key.token()),
            servers[1].with_token(key.token()),
        ];
        check(answered(&both, 60), 30.0, &servers);
        let refused = both[1].get("/cp/whoami");
        refused.problem(429, "rate-limited");
        assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=30;w=86400");
        let partner = servers[0].partner(json!({"rate_limit": limit(20)}));
        let keys = [(); 2].map(|()| servers[0].key_of(&partner, &["orgs:list"]));
        let other = servers[1].with_token(keys[1].token());
        check(answered(&[keys[0].clone(), other], 60), 20.0, &servers);
        let decided = metric(
            &servers[0],
            "molecule_limit_decisions_total{mode=\"exact\"}",
        );
        assert!(decided > 20.0, "{decided}");
    }
}

fn debts_outlive_an_instance(store: Store) {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let server = sharing(&store, &redis, "exact");
    let key = server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit(20)}));
    assert_eq!(answered(std::slice::from_ref(&key), 15), 15);
    drop(server);
    let server = sharing(&store, &redis, "exact");
    let answered = answered(&[server.with_token(key.token())], 15);
    check(answered, 5.0, &[server]);
}

fn unknown_tokens_are_counted_together(store: Store) {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let url = redis.url();
    let settings = [
        ("MOLECULE_CP_REDIS_URL", url.as_str()),
        ("MOLECULE_CP_AUTH_FAILURE_LIMIT", "4/86400"),
    ];
    let servers = [store.start_with(&settings), store.start_with(&settings)];
    let guess = |n: usize| {
        let token = tokens::well_formed("mol_pk_");
        servers[n % 2].with_token(&token).get("/cp/whoami")
    };
    let statuses: Vec<u16> = (0..8).map(|n| guess(n).status).collect();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    check(refused, 4.0, &servers);
}

fn a_redis_that_is_killed_opens_nothing_and_shuts_nobody_out(store: Store) {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let servers = [(); 2].map(|()| sharing(&store, &redis, "exact"));
    let key = servers[0].issue(json!({"scopes": ["orgs:list"], "rate_limit": limit(60)}));
    let both = [
        servers[0].with_token(key.token()),
        servers[1].with_token(key.token()),
    ];
    assert_eq!(answered(&both, 20), 20);
    redis.kill();
    // Each has met the key, and knows of 19 calls at the least. Its part of the rest is half of it, or all
    // where it does not know of the other.
    let without = [answered(&both[..1], 80), answered(&both[1..], 80)];
    for (server, count) in servers.iter().zip(without) {
        assert!((20..=41).contains(&count), "{without:?}");
        assert_eq!(metric(server, "molecule_limits_partitioned"), 1.0);
        let fallback = metric(server, "molecule_limit_decisions_total{mode=\"fallback\"}");
        assert!(fallback >= 20.0, "{fallback}");
        assert!(
            server.log().contains("rate limits are not shared"),
            "{}",
            server.log()
        );
    }
    redis.restart();
    for server in &servers {
        wait_partitioned(server, 0.0);
        assert!(server.log().contains("shared through Redis again"));
    }
    assert_eq!(answered(&both, 10), 0, "an outage is no new burst");
    let fresh = servers[1].issue(json!({"scopes": ["orgs:list"], "rate_limit": limit(10)}));
    let both = [servers[0].with_token(fresh.token()), fresh];
    check(answered(&both, 30), 10.0, &servers);
}

fn a_redis_that_is_missing_does_not_hold_up_the_start(store: Store) {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    redis.kill();
    let server = sharing(&store, &redis, "exact");
    let key = server.issue(json!({"scopes": ["orgs:list"], "rate_limit": limit(10)}));
    assert_eq!(answered(&[key], 20), 10);
    assert!(
        server.log().contains("can't be reached"),
        "{}",
        server.log()
    );
    server.anon().get("/readyz").expect(200);
    redis.restart();
    wait_partitioned(&server, 0.0);
}

fn a_redis_that_can_not_be_used_is_refused_at_the_start(store: Store) {
    let Some(redis) = Redis::start(&["--requirepass", "s3cret"]) else {
        return;
    };
    // The first admin key is shown once, and is not lost to a wrong password.
    let wrong = format!("redis://:wr0ng@127.0.0.1:{}", redis.port());
    let settings = [
        ("MOLECULE_CP_REDIS_URL", wrong.as_str()),
        ("MOLECULE_CP_ADMIN_KEY", ""),
    ];
    let output = store.run(&["serve"], &settings);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{log}");
    assert!(
        log.contains("redis_url") && log.contains("refused the password"),
        "{log}"
    );
    assert!(!log.contains("wr0ng"), "{log}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("mol_ak_"), "{shown}");

    let file = store.folder().join("redis-url");
    fs::write(
        &file,
        format!("redis://:s3cret@127.0.0.1:{}\n", redis.port()),
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let right = [("MOLECULE_CP_REDIS_URL_FILE", path)];
    let shown = String::from_utf8(store.run(&["config"], &right).stdout).unwrap();
    assert!(
        shown.contains("redis_url = \"redis://***@127.0.0.1:"),
        "{shown}"
    );
    assert!(shown.contains("limits = \"exact\""), "{shown}");
    let server = store.start_with(&right);
    server.admin().get("/cp/whoami").expect(200);

    // Another control plane, with a pepper of its own.
    let another = Store::sqlite();
    let output = another.run(&["serve"], &right);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{log}");
    assert!(log.contains("another control plane"), "{log}");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(metric(&server, "molecule_limits_partitioned"), 0.0);
}
