//! When a message is tried again.

use time::Duration;

/// How long before its end an org or a key is announced to end.
pub const ANNOUNCED_AHEAD: Duration = Duration::minutes(10);

/// The pauses after the first, second, … failed try, as Standard Webhooks recommends.
const PAUSES: [Duration; 9] = [
    Duration::seconds(5),
    Duration::minutes(5),
    Duration::minutes(30),
    Duration::hours(2),
    Duration::hours(5),
    Duration::hours(10),
    Duration::hours(14),
    Duration::hours(20),
    Duration::hours(24),
];

/// The longest that a pause is stretched, as a part of itself: one tenth.
const JITTER: i32 = 10;

/// How long to wait after this many failed tries, `None` when it was the last one.
///
/// The pause is stretched by up to a tenth, so that messages that failed together don't all come back
/// together; `random` says how far, of all numbers evenly.
#[must_use]
pub fn retry_delay(tries: u32, random: u32) -> Option<Duration> {
    let position = usize::try_from(tries.checked_sub(1)?).ok()?;
    let pause = *PAUSES.get(position)?;
    let stretch = (pause / JITTER) * (f64::from(random) / f64::from(u32::MAX));
    Some(pause + stretch)
}

/// The longest that a message waits after this many failed tries.
#[must_use]
pub fn max_retry_delay(tries: u32) -> Duration {
    retry_delay(tries, u32::MAX).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tries: u32, seconds: Option<i64>) {
        let pause = seconds.map(Duration::seconds);
        assert_eq!(retry_delay(tries, 0), pause);
        assert_eq!(retry_delay(tries, u32::MAX), pause.map(|it| it * 11 / 10));
        let middle = retry_delay(tries, u32::MAX / 2);
        assert!(middle >= pause && middle <= pause.map(|it| it * 11 / 10));
    }

    #[test]
    fn the_pauses_are_those_of_standard_webhooks_and_up_to_a_tenth_more() {
        check(1, Some(5));
        check(2, Some(5 * 60));
        check(3, Some(30 * 60));
        check(4, Some(2 * 3600));
        check(5, Some(5 * 3600));
        check(6, Some(10 * 3600));
        check(7, Some(14 * 3600));
        check(8, Some(20 * 3600));
        check(9, Some(24 * 3600));
        check(10, None);
        check(u32::MAX, None);
        check(0, None);
    }
}
