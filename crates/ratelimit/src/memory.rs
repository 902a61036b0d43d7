//! The limiter of one process, by `governor`.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, PoisonError},
    time::Duration,
};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use foldhash::quality::RandomState;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

use crate::{Decision, Limiter, RateLimit, Subject};

type Governor = RateLimiter<
    Subject,
    DashMapStateStore<Subject, RandomState>,
    TimeSource,
    StateInformationMiddleware,
>;

/// The clock that the maker of the limiter brought: time since any fixed point, never stepping back.
#[derive(Clone)]
struct TimeSource(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock for TimeSource {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeSource")
    }
}

/// Limits held in the memory of one process.
///
/// `governor` keeps one quota per limiter, so there is one for each distinct [`RateLimit`] in use.
/// A subject whose limit is changed starts anew under the new one; its debt under the old one stays.
pub struct MemoryLimiter {
    /// Asked by all threads at once and hardly ever changed: a lock in parts, of which each thread that
    /// reads takes its own.
    by_limit: ShardedLock<Governors>,
    time: TimeSource,
}

type Governors = HashMap<RateLimit, Arc<Governor>, RandomState>;

impl MemoryLimiter {
    /// A limiter on a clock that tells the time since any fixed point and never steps back.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            by_limit: ShardedLock::default(),
            time: TimeSource(Arc::new(clock)),
        }
    }

    /// Drops what is no longer needed: subjects that have refilled wholly, limits without subjects.
    ///
    /// Call it from time to time; a subject with a debt is never dropped.
    pub fn sweep(&self) {
        // A new limit that waited for this would have all others wait with it.
        let all: Vec<Arc<Governor>> = self.read().values().cloned().collect();
        let mut some_empty = false;
        for limiter in all {
            limiter.retain_recent();
            limiter.shrink_to_fit();
            some_empty |= limiter.is_empty();
        }
        if some_empty {
            // A check reads the map until it is counted, so no limiter is dropped in use.
            self.write().retain(|_, limiter| !limiter.is_empty());
        }
    }

    /// How many subjects are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().values().map(|limiter| limiter.len()).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A clock that panics leaves the map as it was.
    fn read(&self) -> ShardedLockReadGuard<'_, Governors> {
        self.by_limit.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, Governors> {
        let locked = self.by_limit.write();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn governor_of(&self, limit: RateLimit) -> Governor {
        // A period is never zero, see `RateLimit::period`; one second stands in if it were.
        let quota = Quota::with_period(limit.period())
            .unwrap_or_else(|| Quota::per_second(limit.limit()))
            .allow_burst(limit.limit());
        Governor::new(quota, DashMapStateStore::default(), self.time.clone())
    }

    fn decide(&self, subject: Subject, limit: RateLimit) -> Decision {
        if let Some(governor) = self.read().get(&limit) {
            return self.decide_by(governor, subject, limit);
        }
        let mut by_limit = self.write();
        let new = || Arc::new(self.governor_of(limit));
        let governor = by_limit.entry(limit).or_insert_with(new);
        self.decide_by(governor, subject, limit)
    }

    fn decide_by(&self, governor: &Governor, subject: Subject, limit: RateLimit) -> Decision {
        match governor.check_key(&subject) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let spent = limit.limit().get().saturating_sub(remaining);
                let full_after = limit.period().saturating_mul(spent);
                Decision {
                    limit,
                    remaining,
                    full_after,
                    retry_after: None,
                }
            }
            Err(not_until) => {
                let wait = not_until
                    .earliest_possible()
                    .duration_since(self.time.now())
                    .into();
                let burst = limit.period().saturating_mul(limit.limit().get() - 1);
                Decision {
                    limit,
                    remaining: 0,
                    full_after: burst + wait,
                    retry_after: Some(wait),
                }
            }
        }
    }
}

impl Limiter for MemoryLimiter {
    fn check(&self, subject: Subject, limit: RateLimit) -> impl Future<Output = Decision> + Send {
        std::future::ready(self.decide(subject, limit))
    }
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter")
            .field("limits", &self.read().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ids::{KeyId, TypedId, Ulid};

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

    impl Bench {
        fn pass(&self, seconds: u64) {
            self.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
        }

        fn check(&self, key: u128, limit: RateLimit) -> Decision {
            self.limiter
                .decide(Subject::Key(KeyId::from_ulid(Ulid::from(key))), limit)
        }
    }

    const THREE_A_MINUTE: RateLimit = RateLimit::literal(3, 60);

    #[test]
    fn the_worked_timeline_of_the_documentation() {
        let bench = bench();
        let mut told = Vec::new();
        for pause in [0, 0, 0, 0, 20, 1, 39] {
            bench.pass(pause);
            let decision = bench.check(1, THREE_A_MINUTE);
            told.push((
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
        assert_eq!(told, expect);
    }

    #[test]
    fn the_time_until_the_burst_is_whole_is_told() {
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
        assert_eq!(bench.limiter.read().len(), 0);
    }

    #[test]
    fn the_largest_limit_counts_exactly() {
        let bench = bench();
        let decision = bench.check(1, RateLimit::literal(100_000_000, 86_400));
        assert_eq!(decision.remaining, 99_999_999);
    }
}
