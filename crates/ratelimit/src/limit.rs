//! The limit itself: a burst and the time in which it refills.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// The largest burst.
const MAX_LIMIT: u32 = 100_000_000;
/// The longest window, one day.
const MAX_WINDOW_SECONDS: u32 = 86_400;

/// Why two numbers are not a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRateLimit {
    /// The limit is out of bounds.
    #[error("the limit must be 1 to 100000000")]
    Limit,
    /// The window is out of bounds.
    #[error("the window must be 1 to 86400 seconds")]
    Window,
    /// The text is not `limit/seconds`.
    #[error("a limit is written as limit/seconds, such as 600/60")]
    Form,
}

/// `limit` requests at once, refilled evenly over `window_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    limit: NonZeroU32,
    window_seconds: NonZeroU32,
}

impl RateLimit {
    /// A limit of 1..=100000000 requests in 1..=86400 seconds.
    ///
    /// # Errors
    /// When either number is out of bounds.
    pub fn new(limit: u32, window_seconds: u32) -> Result<Self, InvalidRateLimit> {
        let within = |value: u32, max: u32| NonZeroU32::new(value).filter(|_| value <= max);
        Ok(Self {
            limit: within(limit, MAX_LIMIT).ok_or(InvalidRateLimit::Limit)?,
            window_seconds: within(window_seconds, MAX_WINDOW_SECONDS)
                .ok_or(InvalidRateLimit::Window)?,
        })
    }

    /// What a key gets when nothing is said: 600 per 60 s.
    pub const KEY_DEFAULT: Self = Self::literal(600, 60);

    /// A limit known when the program is compiled.
    ///
    /// # Panics
    /// At compile time, when a number is 0.
    #[must_use]
    pub const fn literal(limit: u32, window_seconds: u32) -> Self {
        match (NonZeroU32::new(limit), NonZeroU32::new(window_seconds)) {
            (Some(limit), Some(window_seconds)) => Self {
                limit,
                window_seconds,
            },
            #[expect(clippy::panic, reason = "evaluated by the compiler alone")]
            (None, _) | (_, None) => panic!("a limit of 0"),
        }
    }

    /// The burst.
    #[must_use]
    pub const fn limit(self) -> NonZeroU32 {
        self.limit
    }

    /// The time in which the whole burst refills, in seconds.
    #[must_use]
    pub const fn window_seconds(self) -> NonZeroU32 {
        self.window_seconds
    }

    /// The time in which one request refills.
    ///
    /// Whole nanoseconds: at 100 million per second the last digit is off by up to a tenth, at any
    /// limit below a million per second by less than a thousandth.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs(self.window_seconds.get().into()) / self.limit.get()
    }

    /// [`RateLimit::period`] in nanoseconds, 10 to 86 400 000 000 000.
    #[must_use]
    pub fn period_nanos(self) -> u64 {
        u64::try_from(self.period().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time in which the whole burst refills, in nanoseconds: `limit` whole periods.
    #[must_use]
    pub fn window_nanos(self) -> u64 {
        self.period_nanos().saturating_mul(self.limit.get().into())
    }
}

/// The form of the settings, `limit/seconds`.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, self.window_seconds)
    }
}

impl FromStr for RateLimit {
    type Err = InvalidRateLimit;

    fn from_str(text: &str) -> Result<Self, InvalidRateLimit> {
        let (limit, window) = text.split_once('/').ok_or(InvalidRateLimit::Form)?;
        let number = |text: &str| text.trim().parse().map_err(|_| InvalidRateLimit::Form);
        Self::new(number(limit)?, number(window)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, InvalidRateLimit>) {
        let parsed = text.parse::<RateLimit>().map(|limit| limit.to_string());
        assert_eq!(
            parsed.as_deref().map_err(|&error| error),
            expect,
            "{text:?}"
        );
    }

    #[test]
    fn the_form_of_the_settings() {
        check("600/60", Ok("600/60"));
        check("100000000/86400", Ok("100000000/86400"));
        check("0/60", Err(InvalidRateLimit::Limit));
        check("100000001/60", Err(InvalidRateLimit::Limit));
        check("1/0", Err(InvalidRateLimit::Window));
        check("1/86401", Err(InvalidRateLimit::Window));
        check("600", Err(InvalidRateLimit::Form));
        check("-1/60", Err(InvalidRateLimit::Form));
        check("a/b", Err(InvalidRateLimit::Form));
    }

    #[test]
    fn no_limit_refills_in_no_time() {
        assert_eq!(
            RateLimit::new(100_000_000, 1).unwrap().period(),
            Duration::from_nanos(10)
        );
        assert_eq!(RateLimit::KEY_DEFAULT.period(), Duration::from_millis(100));
    }
}
