//! What the limiter of one process decides, keeps and drops.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ids::{KeyId, PartnerId, TypedId, Ulid};

use super::*;

struct Bench {
    limiter: MemoryLimiter,
    millis: Arc<AtomicU64>,
}

fn bench() -> Bench {
    let millis = Arc::new(AtomicU64::new(1_000_000));
    let clock = Arc::clone(&millis);
    let now = move || Duration::from_millis(clock.load(Ordering::Relaxed));
    Bench {
        limiter: MemoryLimiter::new(now),
        millis,
    }
}

fn key(n: u128) -> Subject {
    Subject::Key(KeyId::from_ulid(Ulid::from(n)))
}

fn partner(n: u128) -> Subject {
    Subject::Partner(PartnerId::from_ulid(Ulid::from(n)))
}

impl Bench {
    fn pass(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn check(&self, n: u128, limit: RateLimit) -> Decision {
        self.limiter.decide(key(n), limit, true)
    }

    /// Whether each limit rejects a request, and what it has left.
    fn check_all(&self, limits: &[(Subject, RateLimit)]) -> Vec<(bool, u32)> {
        let decisions = self.limiter.decide_all(limits, WHOLE);
        let decided = decisions.iter();
        decided
            .map(|decision| (decision.is_allowed(), decision.remaining))
            .collect()
    }
}

const THREE_A_MINUTE: RateLimit = RateLimit::literal(3, 60);

#[test]
fn the_worked_timeline_of_the_documentation() {
    let bench = bench();
    let mut actual = Vec::new();
    for pause in [0, 0, 0, 0, 20, 1, 39] {
        bench.pass(pause);
        let decision = bench.check(1, THREE_A_MINUTE);
        actual.push((
            decision.retry_after.map(|wait| wait.as_secs()),
            decision.remaining,
        ));
    }
    let expect = [
        (None, 2),
        (None, 1),
        (None, 0),
        (Some(20), 0),
        (None, 0),
        (Some(19), 0),
        (None, 1),
    ];
    assert_eq!(actual, expect);
}

#[test]
fn the_time_until_the_burst_is_full_is_reported() {
    let bench = bench();
    let wholes: Vec<_> = (0..4)
        .map(|_| bench.check(1, THREE_A_MINUTE).full_after.as_secs())
        .collect();
    assert_eq!(wholes, [20, 40, 60, 60]);
}

#[test]
fn one_keys_flood_leaves_another_key_alone() {
    let bench = bench();
    for _ in 0..100 {
        bench.check(1, THREE_A_MINUTE);
    }
    assert!(!bench.check(1, THREE_A_MINUTE).is_allowed());
    assert_eq!(bench.check(2, THREE_A_MINUTE).remaining, 2);
}

#[test]
fn a_call_is_counted_by_all_of_its_limits_or_by_none() {
    let bench = bench();
    let (wide, two) = (RateLimit::literal(9, 3600), RateLimit::literal(2, 3600));
    let shared = [(key(1), wide), (partner(1), two)];
    assert_eq!(bench.check_all(&shared), [(true, 8), (true, 1)]);
    assert_eq!(bench.check_all(&shared), [(true, 7), (true, 0)]);
    for _ in 0..20 {
        assert_eq!(bench.check_all(&shared), [(true, 7), (false, 0)]);
    }
    let narrow = [(key(2), two), (partner(2), wide)];
    for _ in 0..2 {
        bench.check_all(&narrow);
    }
    for _ in 0..20 {
        assert_eq!(bench.check_all(&narrow), [(false, 0), (true, 7)]);
    }
    // Each by itself has what it had.
    assert_eq!(bench.check(1, wide).remaining, 6);
}

#[test]
fn calls_at_the_same_time_get_what_there_is_and_no_more() {
    let bench = bench();
    let (of_key, of_partner) = (
        RateLimit::literal(600, 3600),
        RateLimit::literal(1000, 3600),
    );
    let allowed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let bench = &bench;
                // Two keys of one partner, each in two threads, in either order.
                let mut limits = vec![(key(n % 2), of_key), (partner(1), of_partner)];
                if n < 2 {
                    limits.reverse();
                }
                scope.spawn(move || {
                    let decisions = (0..500).map(|_| bench.limiter.decide_all(&limits, WHOLE));
                    decisions
                        .filter(|all| all.iter().all(Decision::is_allowed))
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(allowed, 1000);
    let left: u32 = [0, 1]
        .map(|n| bench.limiter.decide(key(n), of_key, false).remaining)
        .iter()
        .sum();
    assert_eq!(
        left, 200,
        "a call that the partner's limit refused was counted"
    );
}

#[test]
fn a_debt_outlives_a_change_of_the_limit() {
    let bench = bench();
    let twenty = RateLimit::literal(20, 86_400);
    for _ in 0..20 {
        assert!(bench.check(1, twenty).is_allowed());
    }
    assert!(!bench.check(1, RateLimit::literal(19, 86_400)).is_allowed());
    // From the first request under the new limit on, its pace counts, also while requests are rejected.
    let quick = RateLimit::literal(19, 19);
    assert_eq!(
        bench.check(1, quick).retry_after,
        Some(Duration::from_secs(1))
    );
    bench.pass(1);
    assert!(bench.check(1, quick).is_allowed());
}

#[test]
fn what_is_peeked_at_is_not_counted() {
    let bench = bench();
    for _ in 0..9 {
        let decision = bench.limiter.decide(key(1), THREE_A_MINUTE, false);
        assert_eq!((decision.is_allowed(), decision.remaining), (true, 3));
    }
    assert!(bench.limiter.is_empty());
    assert_eq!(bench.check(1, THREE_A_MINUTE).remaining, 2);
}

#[test]
fn a_sweep_forgets_the_idle_and_keeps_every_debt() {
    let bench = bench();
    for _ in 0..3 {
        bench.check(1, THREE_A_MINUTE);
    }
    bench.check(2, RateLimit::literal(5, 1));
    bench.pass(30);
    bench.limiter.sweep();
    assert_eq!(bench.limiter.len(), 1);
    assert_eq!(
        bench.check(1, THREE_A_MINUTE).remaining,
        0,
        "the debt was forgotten"
    );
    bench.pass(3600);
    bench.limiter.sweep();
    assert!(bench.limiter.is_empty());
}

#[test]
fn memory_is_bounded_by_the_debts_without_any_sweep() {
    let bench = bench();
    for n in 0..10 {
        for _ in 0..3 {
            bench.check(n, RateLimit::literal(3, 86_400));
        }
    }
    // Each debt is paid within a second, before the next subjects come.
    for round in 1..100_u128 {
        for n in 0..1000 {
            bench.check(round * 1_000_000 + n, RateLimit::literal(5, 5));
        }
        bench.pass(1);
    }
    let most = SHARDS * MIN_SEARCH + 2 * 1010;
    assert!(bench.limiter.len() <= most, "{}", bench.limiter.len());
    for n in 0..10 {
        let decision = bench.check(n, RateLimit::literal(3, 86_400));
        assert!(!decision.is_allowed(), "the debt of {n} was forgotten");
    }
}

#[test]
fn the_largest_limit_counts_exactly() {
    let bench = bench();
    let decision = bench.check(1, RateLimit::literal(100_000_000, 86_400));
    assert_eq!(decision.remaining, 99_999_999);
}
