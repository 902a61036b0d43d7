//! When a request is sent again.

use std::time::Duration;

/// How long and how often a request is tried.
///
/// A request is sent again after a failure of the network and after 429, 502, 503 and 504, never before the time
/// that `Retry-After` names. The delay beyond it is random, from nothing to a bound that doubles with each try
/// ("full jitter"), so that many clients do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// No try begins later than this after the first.
    pub max_elapsed: Duration,
    /// How often a request is sent in all.
    pub max_attempts: u32,
    /// The bound of the first random delay.
    pub base: Duration,
    /// The highest bound of a random delay.
    pub cap: Duration,
}

impl RetryPolicy {
    /// One try.
    pub const NEVER: Self = Self {
        max_attempts: 1,
        ..Self::DEFAULT
    };

    /// 8 tries within 30 seconds.
    pub const DEFAULT: Self = Self {
        max_elapsed: Duration::from_secs(30),
        max_attempts: 8,
        base: Duration::from_millis(200),
        cap: Duration::from_secs(5),
    };

    /// The default within another time; with no time at all there is one try.
    #[must_use]
    pub const fn within(max_elapsed: Duration) -> Self {
        if max_elapsed.is_zero() {
            return Self::NEVER;
        }
        Self {
            max_elapsed,
            max_attempts: u32::MAX,
            ..Self::DEFAULT
        }
    }

    /// How long to wait after this many tries, `elapsed` after the first began; `None` to give up. `random` is
    /// anywhere from 0 to its maximum.
    pub(crate) fn delay(
        &self,
        attempts: u32,
        elapsed: Duration,
        retry_after: Option<Duration>,
        random: u32,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let bound = self.base.saturating_mul(doubled).min(self.cap);
        let jitter = bound.mul_f64(f64::from(random) / f64::from(u32::MAX));
        let delay = retry_after.unwrap_or_default().saturating_add(jitter);
        (elapsed.saturating_add(delay) <= self.max_elapsed).then_some(delay)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn check(
        attempts: u32,
        elapsed: u64,
        retry_after: Option<u64>,
        random: u32,
        expect: Option<u64>,
    ) {
        let elapsed = Duration::from_millis(elapsed);
        let retry_after = retry_after.map(Duration::from_millis);
        let actual = RetryPolicy::DEFAULT.delay(attempts, elapsed, retry_after, random);
        assert_eq!(actual, expect.map(Duration::from_millis));
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        check(1, 0, None, u32::MAX, Some(200));
        check(2, 0, None, u32::MAX, Some(400));
        check(5, 0, None, u32::MAX, Some(3200));
        check(6, 0, None, u32::MAX, Some(5000));
        check(7, 0, None, 0, Some(0));
    }

    #[test]
    fn no_try_comes_before_retry_after() {
        check(1, 0, Some(7000), 0, Some(7000));
        check(1, 0, Some(7000), u32::MAX, Some(7200));
    }

    #[test]
    fn the_total_is_bounded() {
        check(8, 0, None, 0, None);
        check(1, 29_900, None, u32::MAX, None);
        check(1, 0, Some(31_000), 0, None);
        let never = RetryPolicy::within(Duration::ZERO);
        assert_eq!(never.delay(1, Duration::ZERO, None, 0), None);
        let long = RetryPolicy::within(SECOND * 3600);
        assert!(long.delay(4_000_000_000, SECOND, None, 0).is_some());
    }
}
