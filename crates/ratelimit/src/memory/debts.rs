//! Debts that several processes share: what this one knows of them, and its share of what is left.
//!
//! Where limits are shared, another process or a server keeps the debts, and this map has a copy of those
//! that this process has met. It goes by the greater of two debts, so whatever order messages come in, a
//! debt is never lost. When the others can't be asked, the copy is what a process decides by.

use std::{num::NonZeroU32, time::Duration};

use super::{Decision, MemoryLimiter, RateLimit, Subject, WHOLE};
use crate::gcra::Bucket;

/// What a subject still owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Who owes it.
    pub subject: Subject,
    /// Under which limit.
    pub limit: RateLimit,
    /// How long until it is paid; never longer than the limit's window.
    pub left: Duration,
}

impl MemoryLimiter {
    /// Notes a debt that somebody else keeps. The greater of this one and what is known counts.
    pub fn record(&self, debt: Debt) {
        let now = self.now();
        let Debt {
            subject,
            limit,
            left,
        } = debt;
        let told = Bucket::owing(limit, nanos(left), now);
        self.with_shard(subject, |shard| {
            let bucket = shard.bucket(subject, limit, now).max(told);
            if !bucket.is_paid(now) {
                shard.put(subject, bucket, now);
            }
        });
    }

    /// Takes back `calls` requests that were counted and did not happen.
    pub fn refund(&self, subject: Subject, limit: RateLimit, calls: u32) {
        let now = self.now();
        self.with_shard(subject, |shard| {
            let mut bucket = shard.bucket(subject, limit, now);
            if !bucket.is_paid(now) {
                bucket.refund(calls);
                shard.put(subject, bucket, now);
            }
        });
    }

    /// Decides as [`Limiter::check_all`](crate::Limiter::check_all) does, for one of `instances` processes
    /// that can't ask each other: each request counts as many times as there are processes.
    ///
    /// So all of them allow together what the limit allows, and each what is left of its share. A share that
    /// is smaller than one request allows one, and the next when that is paid for.
    pub fn check_share(
        &self,
        limits: &[(Subject, RateLimit)],
        instances: NonZeroU32,
    ) -> Vec<Decision> {
        self.decide_all(limits, instances)
    }

    /// Decides as [`MemoryLimiter::check_share`] does, and counts nothing.
    pub fn peek_share(
        &self,
        subject: Subject,
        limit: RateLimit,
        instances: NonZeroU32,
    ) -> Decision {
        let now = self.now();
        let bucket = self
            .with_shard(subject, |shard| shard.bucket(subject, limit, now))
            .unwrap_or_else(|| Bucket::new(limit));
        bucket.decision(now, bucket.wait(now, instances), instances)
    }

    /// All debts that are known and not paid.
    #[must_use]
    pub fn debts(&self) -> Vec<Debt> {
        let mut debts = Vec::new();
        for shard in &self.shards {
            let now = self.now();
            let shard = shard.lock();
            let owing = shard.buckets.iter().map(|(subject, bucket)| Debt {
                subject: *subject,
                limit: bucket.limit(),
                left: Duration::from_nanos(bucket.debt(now)),
            });
            debts.extend(owing.filter(|debt| !debt.left.is_zero()));
        }
        debts
    }
}

impl Decision {
    /// The decision about a request that somebody else has counted, or has not: `debt` is what its subject
    /// owed before.
    #[must_use]
    pub fn of_debt(limit: RateLimit, debt: Duration, is_counted: bool) -> Self {
        let mut bucket = Bucket::owing(limit, nanos(debt), 0);
        let wait = bucket.wait(0, WHOLE);
        if is_counted {
            bucket.charge(0, WHOLE);
        }
        bucket.decision(0, wait, WHOLE)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ids::{KeyId, TypedId as _, Ulid};
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    const LIMIT: RateLimit = RateLimit::literal(600, 60);

    fn key(n: u128) -> Subject {
        Subject::Key(KeyId::from_ulid(Ulid::from(n)))
    }

    /// A limiter, and its clock in seconds.
    fn limiter() -> (MemoryLimiter, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(1_000_000));
        let clock = Arc::clone(&seconds);
        let now = move || Duration::from_secs(clock.load(Ordering::Relaxed));
        (MemoryLimiter::new(now), seconds)
    }

    fn debt(subject: Subject, seconds: u64) -> Debt {
        Debt {
            subject,
            limit: LIMIT,
            left: Duration::from_secs(seconds),
        }
    }

    fn count(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn allowed(limiter: &MemoryLimiter, instances: u32) -> usize {
        let check = |_: &u32| {
            let all = limiter.check_share(&[(key(1), LIMIT)], count(instances));
            all.iter().all(Decision::is_allowed)
        };
        (0..1000).filter(check).count()
    }

    #[test]
    fn the_greater_debt_counts() {
        let (limiter, seconds) = limiter();
        for told in [10, 30, 20, 0] {
            limiter.record(debt(key(1), told));
        }
        assert_eq!(limiter.debts(), [debt(key(1), 30)]);
        seconds.fetch_add(29, Ordering::Relaxed);
        limiter.record(debt(key(1), 0));
        assert_eq!(limiter.debts(), [debt(key(1), 1)]);
        seconds.fetch_add(1, Ordering::Relaxed);
        assert_eq!(limiter.debts(), []);
    }

    #[test]
    fn nothing_is_kept_of_whoever_owes_nothing() {
        let (limiter, _) = limiter();
        limiter.record(debt(key(1), 0));
        limiter.refund(key(2), LIMIT, 5);
        assert!(limiter.is_empty());
    }

    #[test]
    fn a_share_is_of_what_is_left() {
        for (owed, instances, expect) in [(0, 3, 200), (30, 3, 100), (60, 3, 0), (30, 1, 300)] {
            let (limiter, _) = limiter();
            limiter.record(debt(key(1), owed));
            assert_eq!(allowed(&limiter, instances), expect, "{owed} s owed");
        }
    }

    #[test]
    fn a_share_refills_at_its_own_pace() {
        let (limiter, seconds) = limiter();
        limiter.record(debt(key(1), 60));
        seconds.fetch_add(3, Ordering::Relaxed);
        assert_eq!(allowed(&limiter, 3), 10);
        let decision = limiter.peek_share(key(1), LIMIT, count(3));
        assert_eq!(decision.retry_after, Some(Duration::from_millis(300)));
        assert_eq!(decision.limit, LIMIT, "the limit is told as it is");
    }

    #[test]
    fn what_is_refunded_is_left_again() {
        let (limiter, _) = limiter();
        limiter.record(debt(key(1), 60));
        limiter.refund(key(1), LIMIT, 20);
        assert_eq!(allowed(&limiter, 1), 20);
    }

    #[test]
    fn a_decision_is_that_of_the_process_that_keeps_the_debt() {
        for (owed, counted) in [(0, true), (30_000, true), (59_900, true), (59_901, false)] {
            let (limiter, _) = limiter();
            let left = Duration::from_millis(owed);
            limiter.record(Debt {
                left,
                ..debt(key(1), 0)
            });
            let expect = limiter.decide(key(1), LIMIT, true);
            assert_eq!(Decision::of_debt(LIMIT, left, counted), expect);
            assert_eq!(expect.is_allowed(), counted);
        }
    }
}
