//! A server that goes away, stands still, comes back, or forgets.

use std::time::{Duration, Instant};

use ratelimit::RateLimit;
use testkit::redis::Server;
use tokio::time::sleep;

use crate::kit::{Hammered, Instance, impatient, key, until};

/// A hundred a second, and a burst of 300.
const LIMIT: RateLimit = RateLimit::literal(300, 3);
const PER_SECOND: f64 = 100.0;
const COUNT: u32 = 3;

async fn instances(server: &Server) -> Vec<Instance> {
    let mut instances = Vec::new();
    for _ in 0..COUNT {
        instances.push(
            Instance::start(COUNT, impatient(&server.url()))
                .await
                .unwrap(),
        );
    }
    instances
}

/// Hammers one key until the burst is used up, has something happen, hammers on for four seconds and checks
/// that the limit held all the time: within 1.1 of it, and never shut.
async fn check_throughout(server: &Server, happens: impl AsyncFnOnce(&[Instance])) {
    let instances = instances(server).await;
    let hammered = Hammered::start(&instances, key(1), LIMIT);
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    happens(&instances).await;
    sleep(Duration::from_secs(4)).await;
    let allowed = hammered.stop().await;
    let since: Vec<Duration> = allowed
        .iter()
        .filter_map(|at| at.checked_duration_since(began))
        .collect();
    let seconds = began.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(since.len()).unwrap()) / seconds;
    assert!(rate <= 1.1 * PER_SECOND, "{rate} a second");
    assert!(rate >= 0.5 * PER_SECOND, "{rate} a second");
    // Never shut: no half second without a call.
    let gaps = since.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().unwrap();
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_the_limit_as_it_is() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check_throughout(&server, async |instances| {
        server.kill();
        for instance in instances {
            instance.until_partitioned(true).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_gives_no_new_burst() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check_throughout(&server, async |instances| {
        server.kill();
        sleep(Duration::from_millis(500)).await;
        server.restart();
        for instance in instances {
            instance.until_partitioned(false).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_and_goes_on_gives_no_new_burst() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check_throughout(&server, async |instances| {
        server.pause();
        sleep(Duration::from_millis(500)).await;
        for instance in instances {
            instance.until_partitioned(true).await;
        }
        server.resume();
        for instance in instances {
            instance.until_partitioned(false).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_flushed_gives_no_new_burst() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check_throughout(&server, async |instances| {
        assert_eq!(server.command("FLUSHALL"), "+OK");
        until("the loss is counted".to_owned(), || {
            instances
                .iter()
                .all(|instance| instance.failures("state_lost") > 0)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_call_waits_for_a_silent_server_once_and_not_for_long() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::start(1, impatient(&server.url())).await.unwrap();
    server.pause();
    let began = Instant::now();
    assert_eq!(instance.allowed(key(1), LIMIT, 100).await, 100);
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert!(instance.is_partitioned());
    assert!(instance.failures("timeout") >= 1);
    server.resume();
    instance.until_partitioned(false).await;
}

/// One instance has counted calls by itself; afterwards the other learns of them from the server.
#[tokio::test]
async fn what_an_instance_counted_by_itself_is_handed_over() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let day = RateLimit::literal(30, 86_400);
    let start = || Instance::start(2, impatient(&server.url()));
    let (one, other) = (start().await.unwrap(), start().await.unwrap());
    assert_eq!(one.allowed(key(1), day, 10).await, 10);
    server.pause();
    // Of the 20 that are left, each has a half.
    assert_eq!(one.allowed(key(1), day, 30).await, 10);
    // This one has not met the key, and knows of no debt.
    assert_eq!(other.allowed(key(1), day, 30).await, 15);
    server.resume();
    for instance in [&one, &other] {
        instance.until_partitioned(false).await;
        assert_eq!(instance.allowed(key(1), day, 5).await, 0);
    }
}

#[tokio::test]
async fn debts_come_back_from_the_instances_when_the_server_has_lost_them() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let day = RateLimit::literal(30, 86_400);
    let (one, other) = (
        Instance::of(2, &server.url()).await,
        Instance::of(2, &server.url()).await,
    );
    for n in 0..250 {
        assert_eq!(one.allowed(key(n), day, 2).await, 2);
    }
    assert_eq!(one.allowed(key(7), day, 40).await, 28);
    assert_eq!(server.command("FLUSHALL"), "+OK");
    until("the loss is noticed".to_owned(), || {
        one.failures("state_lost") > 0
    })
    .await;
    for instance in [&one, &other] {
        instance.until_partitioned(false).await;
    }
    assert_eq!(other.allowed(key(7), day, 5).await, 0);
    assert_eq!(other.check(key(249), day).await.remaining, 27);
}

#[tokio::test]
async fn an_instance_starts_without_the_server_and_joins_later() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    server.kill();
    let limit = RateLimit::literal(30, 86_400);
    let instance = Instance::of(3, &server.url()).await;
    assert!(instance.is_partitioned());
    assert_eq!(instance.allowed(key(1), limit, 30).await, 10);
    assert!(instance.failures("unreachable") >= 1);
    server.restart();
    instance.until_partitioned(false).await;
    assert_eq!(instance.allowed(key(1), limit, 5).await, 0);
    assert_eq!(instance.check(key(2), limit).await.remaining, 29);
}
