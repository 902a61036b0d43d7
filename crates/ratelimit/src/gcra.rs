//! The decision: a pure function of a clock, a limit and one stored instant.
//!
//! The generic cell rate algorithm (ITU-T I.371) keeps one instant for each subject, its theoretical
//! arrival time (TAT): the time at which all requests so far will have been paid for, one per period.
//! What is left until then is the subject's debt. A request is allowed when its period still fits into the
//! window, and moves the TAT on by that period.

use std::time::Duration;

use crate::{Decision, RateLimit};

/// What is stored of one subject: its limit and its TAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    limit: RateLimit,
    /// The theoretical arrival time, in nanoseconds on the limiter's clock.
    tat: u64,
}

impl Bucket {
    /// A subject without a debt.
    pub(crate) const fn new(limit: RateLimit) -> Self {
        Self { limit, tat: 0 }
    }

    /// The same subject under another limit: the requests that are not paid for stay so, but never more
    /// than the new limit has.
    ///
    /// So a narrowed limit gives no new burst, and a widened one gives the difference.
    pub(crate) fn under(self, limit: RateLimit, now: u64) -> Self {
        if limit == self.limit {
            return self;
        }
        let debt = u128::from(self.debt(now)) * u128::from(period(limit));
        let debt = debt / u128::from(period(self.limit).max(1));
        let debt = u64::try_from(debt).unwrap_or(u64::MAX).min(window(limit));
        Self {
            limit,
            tat: now.saturating_add(debt),
        }
    }

    /// How long until all requests are paid for.
    const fn debt(&self, now: u64) -> u64 {
        self.tat.saturating_sub(now)
    }

    /// Whether nothing needs to be kept of it.
    pub(crate) const fn is_paid(&self, now: u64) -> bool {
        self.debt(now) == 0
    }

    /// How long until a request is allowed, `None` when one is now.
    pub(crate) fn wait(&self, now: u64) -> Option<u64> {
        let room = window(self.limit).saturating_sub(period(self.limit));
        Some(self.debt(now).saturating_sub(room)).filter(|wait| *wait > 0)
    }

    /// Counts one request, which must be allowed.
    pub(crate) fn charge(&mut self, now: u64) {
        self.tat = self.tat.max(now).saturating_add(period(self.limit));
    }

    /// What is said to a request: `wait` as it was before the request was counted.
    pub(crate) fn decision(&self, now: u64, wait: Option<u64>) -> Decision {
        let debt = self.debt(now);
        let left = window(self.limit).saturating_sub(debt) / period(self.limit).max(1);
        Decision {
            limit: self.limit,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            full_after: Duration::from_nanos(debt),
            retry_after: wait.map(Duration::from_nanos),
        }
    }
}

/// The time in which one request is paid for, in nanoseconds.
fn period(limit: RateLimit) -> u64 {
    u64::try_from(limit.period().as_nanos()).unwrap_or(u64::MAX)
}

/// The time in which the whole burst is paid for, in nanoseconds.
fn window(limit: RateLimit) -> u64 {
    period(limit).saturating_mul(limit.limit().get().into())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::{Quota, RateLimiter, clock::FakeRelativeClock};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A request, and whether it was allowed.
    fn call(bucket: &mut Bucket, now: u64) -> bool {
        let allowed = bucket.wait(now).is_none();
        if allowed {
            bucket.charge(now);
        }
        allowed
    }

    /// How many requests are allowed at once.
    fn burst(mut bucket: Bucket, now: u64) -> u32 {
        let mut calls = 0;
        while call(&mut bucket, now) {
            calls += 1;
        }
        calls
    }

    /// A limit of which this many requests have just been used is changed; how many are allowed at once.
    #[track_caller]
    fn check_change(from: &str, used: u32, to: &str, expect: u32) {
        let now = 1_000_000 * SECOND;
        let mut bucket = Bucket::new(from.parse().unwrap());
        for _ in 0..used {
            assert!(call(&mut bucket, now));
        }
        let changed = bucket.under(to.parse().unwrap(), now);
        assert_eq!(burst(changed, now), expect, "{from} {used} {to}");
        let decision = changed.decision(now, changed.wait(now));
        assert_eq!(decision.remaining, expect, "{from} {used} {to}");
    }

    #[test]
    fn a_narrowed_limit_gives_no_new_burst() {
        check_change("20/3600", 20, "19/3600", 0);
        check_change("20/3600", 20, "1/3600", 0);
        check_change("20/3600", 19, "19/3600", 0);
        check_change("20/3600", 5, "19/3600", 14);
        check_change("20/3600", 0, "19/3600", 19);
        check_change("600/60", 600, "600/3600", 0);
        check_change("600/60", 100, "300/86400", 200);
    }

    #[test]
    fn a_widened_limit_gives_the_difference() {
        check_change("20/3600", 20, "21/3600", 1);
        check_change("20/3600", 20, "100/60", 80);
        check_change("1/86400", 1, "5000/1", 4999);
        check_change("20/3600", 5, "40/3600", 35);
    }

    #[test]
    fn after_a_change_calls_are_paid_for_at_the_new_pace() {
        let now = SECOND;
        let mut bucket = Bucket::new(RateLimit::literal(20, 3600));
        for _ in 0..20 {
            assert!(call(&mut bucket, now));
        }
        let bucket = bucket.under(RateLimit::literal(10, 10), now);
        assert_eq!(bucket.wait(now), Some(SECOND));
        assert_eq!(burst(bucket, now + 3 * SECOND), 3);
        assert_eq!(burst(bucket, now + 100 * SECOND), 10);
    }

    #[test]
    fn a_debt_that_is_paid_is_no_debt_under_any_limit() {
        let mut bucket = Bucket::new(RateLimit::literal(2, 2));
        assert!(call(&mut bucket, SECOND));
        assert!(!bucket.is_paid(SECOND));
        assert!(bucket.is_paid(2 * SECOND));
        let changed = bucket.under(RateLimit::literal(5, 60), 9 * SECOND);
        assert_eq!(burst(changed, 9 * SECOND), 5);
    }

    /// `governor` implements the same algorithm for limits that don't change.
    #[test]
    fn decisions_are_those_of_governor() {
        for limit in ["3/60", "1/1", "600/60", "7/86400", "100000000/1"] {
            let limit: RateLimit = limit.parse().unwrap();
            let clock = FakeRelativeClock::default();
            let burst = NonZeroU32::new(limit.limit().get()).unwrap();
            let quota = Quota::with_period(limit.period()).unwrap();
            let model = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone());
            let mut bucket = Bucket::new(limit);
            let mut now = 0_u64;
            let mut random = 1_u64;
            for step in 0..5000 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let pause = (random >> 33) % (2 * period(limit));
                now += pause;
                clock.advance(Duration::from_nanos(pause));
                let calls = (random >> 60) + 1;
                for _ in 0..calls {
                    let expect = model.check().is_ok();
                    assert_eq!(call(&mut bucket, now), expect, "{limit} step {step}");
                }
            }
        }
    }
}
