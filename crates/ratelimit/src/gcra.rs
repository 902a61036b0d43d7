//! The decision: a pure function of a clock, a limit and one stored instant.
//!
//! The generic cell rate algorithm (ITU-T I.371) keeps one instant for each subject, its theoretical
//! arrival time (TAT): the time at which all requests so far will have been paid for, one per period.
//! What is left until then is the subject's debt. A request is allowed when its period still fits into the
//! window, and moves the TAT on by that period.
//!
//! A request may cost several periods: where several processes each keep a share of a limit, a request costs
//! as many periods as there are processes. Two buckets of one limit then allow together what one would.

use std::{num::NonZeroU32, time::Duration};

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
        let debt = u128::from(self.debt(now)) * u128::from(limit.period_nanos());
        let debt = debt / u128::from(self.limit.period_nanos().max(1));
        let debt = u64::try_from(debt)
            .unwrap_or(u64::MAX)
            .min(limit.window_nanos());
        Self {
            limit,
            tat: now.saturating_add(debt),
        }
    }

    /// A subject whose requests will be paid for after `debt` nanoseconds; more than the window counts as the
    /// window.
    pub(crate) fn owing(limit: RateLimit, debt: u64, now: u64) -> Self {
        Self {
            limit,
            tat: now.saturating_add(debt.min(limit.window_nanos())),
        }
    }

    /// The same subject with the greater of the two debts.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            limit: self.limit,
            tat: self.tat.max(other.tat),
        }
    }

    /// The same subject after `calls` requests that were counted did not happen.
    pub(crate) fn refund(&mut self, calls: u32) {
        let refund = self.limit.period_nanos().saturating_mul(calls.into());
        self.tat = self.tat.saturating_sub(refund);
    }

    /// Under which limit its debt is counted.
    pub(crate) const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// How long until all requests are paid for.
    pub(crate) const fn debt(&self, now: u64) -> u64 {
        self.tat.saturating_sub(now)
    }

    /// Whether nothing needs to be kept of it.
    pub(crate) const fn is_paid(&self, now: u64) -> bool {
        self.debt(now) == 0
    }

    /// How long until a request of this cost is allowed, `None` when one is now. One that costs more than the
    /// limit allows at once waits until the debt is paid.
    pub(crate) fn wait(&self, now: u64, cost: NonZeroU32) -> Option<u64> {
        let room = self.limit.window_nanos().saturating_sub(self.price(cost));
        Some(self.debt(now).saturating_sub(room)).filter(|wait| *wait > 0)
    }

    /// Counts one request of this cost, which must be allowed.
    pub(crate) fn charge(&mut self, now: u64, cost: NonZeroU32) {
        self.tat = self.tat.max(now).saturating_add(self.price(cost));
    }

    /// What is said to a request: `wait` as it was before the request was counted.
    pub(crate) fn decision(&self, now: u64, wait: Option<u64>, cost: NonZeroU32) -> Decision {
        let debt = self.debt(now);
        let left = self.limit.window_nanos().saturating_sub(debt) / self.price(cost).max(1);
        Decision {
            limit: self.limit,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            full_after: Duration::from_nanos(debt),
            retry_after: wait.map(Duration::from_nanos),
        }
    }

    /// The time in which a request of this cost is paid for.
    fn price(&self, cost: NonZeroU32) -> u64 {
        self.limit.period_nanos().saturating_mul(cost.get().into())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::{Quota, RateLimiter, clock::FakeRelativeClock};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A request, and whether it was allowed.
    fn call(bucket: &mut Bucket, now: u64) -> bool {
        call_of(bucket, now, NonZeroU32::MIN)
    }

    fn call_of(bucket: &mut Bucket, now: u64, cost: NonZeroU32) -> bool {
        let allowed = bucket.wait(now, cost).is_none();
        if allowed {
            bucket.charge(now, cost);
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
        let decision = changed.decision(now, changed.wait(now, NonZeroU32::MIN), NonZeroU32::MIN);
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
        assert_eq!(bucket.wait(now, NonZeroU32::MIN), Some(SECOND));
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

    /// Shares of one limit, kept apart: how many requests they allow together at once, and within an hour
    /// in which all are asked ten times a second.
    #[track_caller]
    fn check_shares(limit: &str, count: u32, at_once: u32, in_an_hour: u32) {
        let limit: RateLimit = limit.parse().unwrap();
        let cost = NonZeroU32::new(count).unwrap();
        let mut shares = vec![Bucket::new(limit); usize::try_from(count).unwrap()];
        let start = 1_000_000 * SECOND;
        let mut ask = |now: u64, times: u32| -> u32 {
            let mut allowed = 0;
            for _ in 0..times {
                for share in &mut shares {
                    allowed += u32::from(call_of(share, now, cost));
                }
            }
            allowed
        };
        assert_eq!(ask(start, 1000), at_once, "{limit} / {count} at once");
        let later = (1..=36_000).map(|tenth| ask(start + tenth * SECOND / 10, 1));
        let total = at_once + later.sum::<u32>();
        assert_eq!(total, in_an_hour, "{limit} / {count} in an hour");
    }

    #[test]
    fn shares_allow_together_what_the_limit_allows_and_never_nothing() {
        check_shares("600/60", 1, 600, 36_600);
        check_shares("600/60", 3, 600, 36_600);
        check_shares("10/3600", 3, 9, 18);
        // A share of less than one request allows one, and then pays for all of them.
        check_shares("2/1800", 4, 4, 4 + 4);
        check_shares("1/60", 3, 3, 3 + 60);
    }

    #[test]
    fn a_debt_may_be_told_and_taken_back() {
        let (now, limit) = (SECOND, RateLimit::literal(10, 10));
        let mut bucket = Bucket::owing(limit, 7 * SECOND, now);
        assert_eq!(burst(bucket, now), 3);
        assert_eq!(
            burst(bucket.max(Bucket::owing(limit, 9 * SECOND, now)), now),
            1
        );
        assert_eq!(burst(bucket.max(Bucket::new(limit)), now), 3);
        bucket.refund(2);
        assert_eq!(burst(bucket, now), 5);
        bucket.refund(u32::MAX);
        assert_eq!(burst(bucket, now), 10);
        // Nobody owes more than the whole burst.
        assert_eq!(Bucket::owing(limit, u64::MAX, now).debt(now), 10 * SECOND);
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
                let pause = (random >> 33) % (2 * limit.period_nanos());
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
