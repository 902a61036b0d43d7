//! What instances admit together while the server answers.

use std::time::{Duration, Instant};

use ratelimit::{Limiter as _, RateLimit};
use testkit::redis::Server;

use crate::kit::{Hammered, Instance, key, partner};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_admit_one_limit() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::of(3, &server.url()).await);
    }
    let limit = RateLimit::literal(600, 60);
    let began = Instant::now();
    let hammered = Hammered::start(&instances, key(1), limit);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let allowed = hammered.stop().await;
    let most = 600 + began.elapsed().as_millis() / 100 + 1;
    assert!(
        u128::try_from(allowed.len()).unwrap() <= most,
        "{}",
        allowed.len()
    );
    assert!(allowed.len() >= 600 + 20, "{}", allowed.len());
    let (partitioned, fallback): (Vec<_>, Vec<_>) = instances
        .iter()
        .map(|instance| instance.limiter.stats())
        .map(|stats| (stats.is_partitioned, stats.fallback))
        .unzip();
    // On a machine that stands still for 50 ms an instance may go on by itself, and the bound holds all the same.
    println!("partitioned {partitioned:?}, decisions by shares {fallback:?}");
}

#[tokio::test]
async fn a_call_is_counted_by_all_of_its_limits_or_by_none() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    let (wide, two) = (RateLimit::literal(9, 86_400), RateLimit::literal(2, 86_400));
    let shared = [(key(1), wide), (partner(1), two)];
    assert_eq!(instance.check_all(&shared).await, [(true, 8), (true, 1)]);
    assert_eq!(instance.check_all(&shared).await, [(true, 7), (true, 0)]);
    for _ in 0..20 {
        assert_eq!(instance.check_all(&shared).await, [(true, 7), (false, 0)]);
    }
    let narrow = [(key(2), two), (partner(2), wide)];
    for _ in 0..2 {
        instance.check_all(&narrow).await;
    }
    for _ in 0..20 {
        assert_eq!(instance.check_all(&narrow).await, [(false, 0), (true, 7)]);
    }
    assert_eq!(instance.check(key(1), wide).await.remaining, 6);
}

#[tokio::test]
async fn a_debt_survives_a_restart_of_the_instance_and_a_change_of_the_limit() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let twenty = RateLimit::literal(20, 86_400);
    let before = Instance::of(1, &server.url()).await;
    assert_eq!(before.allowed(key(1), twenty, 25).await, 20);
    drop(before);
    let after = Instance::of(1, &server.url()).await;
    let refused = after.check(key(1), twenty).await;
    let wait = refused.retry_after.unwrap().as_secs();
    assert!((4300..=4320).contains(&wait), "{refused:?}");
    assert!(
        !after
            .check(key(1), RateLimit::literal(19, 86_400))
            .await
            .is_allowed()
    );
    // A narrower limit forgets what is beyond it, so 19 calls are not paid for.
    let wider = RateLimit::literal(25, 86_400);
    assert_eq!(after.allowed(key(1), wider, 10).await, 6);
    assert_eq!(after.check(key(2), twenty).await.remaining, 19);
}

#[tokio::test]
async fn what_is_peeked_at_is_not_counted() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    let limit = RateLimit::literal(3, 86_400);
    for _ in 0..5 {
        let decision = instance.limiter.peek(key(1), limit).await;
        assert_eq!((decision.is_allowed(), decision.remaining), (true, 3));
    }
    assert_eq!(instance.allowed(key(1), limit, 5).await, 3);
    let decision = instance.limiter.peek(key(1), limit).await;
    assert_eq!((decision.is_allowed(), decision.remaining), (false, 0));
}

#[tokio::test]
async fn the_largest_limits_count_exactly() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    let slow = RateLimit::literal(100_000_000, 86_400);
    let begun = Instant::now();
    assert_eq!(instance.check(key(1), slow).await.remaining, 99_999_999);
    let second = instance.check(key(1), slow).await.remaining;
    // One is refilled every 864 µs, and a busy machine may take longer between the two.
    let refilled = u32::from(begun.elapsed() >= Duration::from_micros(864));
    assert!(
        (99_999_998..=99_999_998 + refilled).contains(&second),
        "{second}"
    );
    let quick = RateLimit::literal(100_000_000, 1);
    assert_eq!(instance.check(key(2), quick).await.remaining, 99_999_999);
    assert!(
        server
            .text("GET molecule-cp:limit:key:pak_00000000000000000000000002")
            .ends_with(" 10 10")
    );
}

#[tokio::test]
async fn a_key_without_a_debt_leaves_nothing_behind() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    assert!(
        instance
            .check(key(1), RateLimit::literal(10, 1))
            .await
            .is_allowed()
    );
    assert_eq!(server.command("DBSIZE"), ":2", "the marker and the key");
    crate::kit::until("the key expires".to_owned(), || {
        server.command("DBSIZE") == ":1"
    })
    .await;
}

#[tokio::test]
async fn scripts_that_the_server_has_dropped_are_handed_over_again() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    let limit = RateLimit::literal(3, 86_400);
    assert_eq!(instance.check(key(1), limit).await.remaining, 2);
    assert_eq!(server.command("SCRIPT FLUSH"), "+OK");
    assert_eq!(instance.check(key(1), limit).await.remaining, 1);
}
