//! The leased mode: how far beyond a limit instances may come together, and how much they leave unused.

use std::time::{Duration, Instant};

use molecule_ratelimit_redis::{Mode, Settings};
use ratelimit::{Leases, Limiter as _, RateLimit};
use testkit::redis::Server;
use tokio::time::sleep;

use crate::kit::{Hammered, Instance, impatient, key, partner, settings, until};

const COUNT: u32 = 3;

async fn leased(server: &Server, count: u32) -> Vec<Instance> {
    let mut instances = Vec::new();
    for _ in 0..count {
        let settings = Settings {
            mode: Mode::Leased,
            ..settings(&server.url())
        };
        instances.push(Instance::start(count, settings).await.unwrap());
    }
    instances
}

/// Checks every stretch of time in which calls were allowed: `burst` and what refills, and what all instances
/// may hold beyond.
#[track_caller]
fn check_bound(allowed: &[Instant], limit: RateLimit, held: u32) {
    let burst = f64::from(limit.limit().get());
    let per_second = burst / f64::from(limit.window_seconds().get());
    for first in (0..allowed.len()).step_by(7) {
        for last in (first..allowed.len()).step_by(7) {
            let seconds = (allowed[last] - allowed[first]).as_secs_f64();
            let count = f64::from(u32::try_from(last - first).unwrap());
            // The call was allowed a little before it was noted.
            let most = burst + (seconds + 0.05) * per_second + f64::from(held) + 1.0;
            assert!(count <= most, "{count} in {seconds} s, at most {most}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_stay_within_the_bound_and_leave_hardly_anything_unused() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, COUNT).await;
    let limit = RateLimit::literal(1200, 12);
    let subjects = [(key(1), limit)];
    let batch = Leases::max_batch(&subjects, COUNT.try_into().unwrap());
    assert_eq!(batch, 4);
    let began = Instant::now();
    let hammered = Hammered::start(&instances, key(1), limit);
    sleep(Duration::from_secs(6)).await;
    let allowed = hammered.stop().await;
    let seconds = began.elapsed().as_secs_f64();
    check_bound(&allowed, limit, COUNT * batch);
    let possible = 1200.0 + seconds * 100.0;
    let used = f64::from(u32::try_from(allowed.len()).unwrap()) / possible;
    assert!(used >= 0.98, "{used} of {possible} were used");
    let stats = instances[0].limiter.stats();
    println!("{used} used; {stats:?}");
}

#[tokio::test]
async fn most_calls_of_a_wide_limit_need_no_question() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, 1).await;
    let limit = RateLimit::literal(1_000_000, 86_400);
    let first = instances[0].check(key(1), limit).await;
    for n in 1..2000 {
        let decision = instances[0].check(key(1), limit).await;
        assert!(decision.is_allowed());
        // What is taken ahead is told as what is left.
        let expect = first.remaining - n;
        assert!(
            decision.remaining.abs_diff(expect) < 200,
            "{decision:?}, {expect}"
        );
    }
    let stats = instances[0].limiter.stats();
    assert!(stats.leased > 1500 && stats.exact < 300, "{stats:?}");
}

#[tokio::test]
async fn what_is_not_used_goes_back() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, 1).await;
    let limit = RateLimit::literal(10_000, 86_400);
    let limits = [(key(1), limit), (partner(1), limit)];
    for _ in 0..100 {
        instances[0].check_all(&limits).await;
    }
    let other = Instance::of(1, &server.url()).await;
    let mut remaining = 0;
    for _ in 0..1000 {
        remaining = other.limiter.peek(key(1), limit).await.remaining;
        if remaining == 9900 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(remaining, 9900);
    assert_eq!(other.limiter.peek(partner(1), limit).await.remaining, 9900);
    assert_eq!(
        instances[0].check_all(&limits).await,
        [(true, 9899), (true, 9899)]
    );
}

#[tokio::test]
async fn an_instance_that_ends_gives_back_what_it_has() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, 1).await;
    let limit = RateLimit::literal(10_000, 86_400);
    for _ in 0..20 {
        instances[0].check(key(1), limit).await;
    }
    instances[0].limiter.close().await;
    let other = Instance::of(1, &server.url()).await;
    assert_eq!(other.limiter.peek(key(1), limit).await.remaining, 9980);
}

#[tokio::test]
async fn permits_whose_return_is_not_answered_are_not_used() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let settings = Settings {
        mode: Mode::Leased,
        ..impatient(&server.url())
    };
    let instance = Instance::start(1, settings).await.unwrap();
    let limit = RateLimit::literal(2000, 86_400);
    assert_eq!(instance.allowed(key(1), limit, 50).await, 50);
    server.pause();
    instance.limiter.close().await;
    // Now the server takes them back, and the instance does not hear of it.
    server.resume();
    instance.until_partitioned(false).await;
    let allowed = instance.allowed(key(1), limit, 2100).await;
    assert!((1900..=1950).contains(&allowed), "{allowed}");
}

#[tokio::test]
async fn a_refusal_needs_no_question_until_a_call_is_paid_for() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, 1).await;
    let limit = RateLimit::literal(5, 5);
    assert_eq!(instances[0].allowed(key(1), limit, 5).await, 5);
    let asked = instances[0].limiter.stats().exact;
    let began = Instant::now();
    let refused = 1000 - instances[0].allowed(key(1), limit, 1000).await;
    if began.elapsed() < Duration::from_millis(500) {
        assert!(refused >= 999, "{refused}");
        assert!(instances[0].limiter.stats().exact <= asked + 2);
    }
    sleep(Duration::from_millis(1100)).await;
    assert!(instances[0].check(key(1), limit).await.is_allowed());
}

#[tokio::test]
async fn a_limit_that_is_narrowed_holds_at_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, 1).await;
    let wide = RateLimit::literal(10_000, 86_400);
    for _ in 0..50 {
        instances[0].check(key(1), wide).await;
    }
    let narrow = RateLimit::literal(200, 86_400);
    assert_eq!(instances[0].allowed(key(1), narrow, 300).await, 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_the_limit_as_it_is() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instances = leased(&server, COUNT).await;
    let limit = RateLimit::literal(600, 6);
    let hammered = Hammered::start(&instances, key(1), limit);
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    server.kill();
    until("all go on by themselves".to_owned(), || {
        instances.iter().all(Instance::is_partitioned)
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    server.restart();
    sleep(Duration::from_secs(2)).await;
    let seconds = began.elapsed().as_secs_f64();
    let allowed = hammered.stop().await;
    let since = allowed.iter().filter(|at| **at >= began).count();
    let rate = f64::from(u32::try_from(since).unwrap()) / seconds;
    assert!((50.0..=110.0).contains(&rate), "{rate} a second");
}
