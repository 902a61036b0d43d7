//! When calls of one key were admitted, and how that compares with its limit.

use std::time::{Duration, Instant};

/// The limit that is hammered: a burst of 600, refilled evenly over 60 s.
pub(crate) const BURST: u32 = 600;
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
pub(crate) const PER_SECOND: f64 = 10.0;

/// The times of calls that were admitted, in order.
pub(crate) struct Admitted {
    times: Vec<f64>,
    /// For how long it was hammered, in seconds.
    seconds: f64,
}

impl Admitted {
    pub(crate) fn new(mut times: Vec<Instant>, began: Instant, ended: Instant) -> Self {
        times.sort();
        let since = times
            .iter()
            .map(|at| at.duration_since(began).as_secs_f64());
        Self {
            times: since.collect(),
            seconds: ended.duration_since(began).as_secs_f64(),
        }
    }

    pub(crate) fn count(&self) -> f64 {
        count(self.times.len())
    }

    /// How many calls one process would have admitted.
    pub(crate) fn possible(&self) -> f64 {
        f64::from(BURST) + self.seconds * PER_SECOND
    }

    /// By how many calls more were admitted in any stretch of time than its burst and what refills in it.
    pub(crate) fn beyond(&self) -> f64 {
        let mut most = 0.0_f64;
        // The smallest count of earlier calls less what has been refilled.
        let mut least = f64::INFINITY;
        for (n, at) in self.times.iter().enumerate() {
            let level = count(n) - at * PER_SECOND;
            least = least.min(level);
            most = most.max(level - least + 1.0 - f64::from(BURST));
        }
        most
    }

    /// The most calls in any minute that begins at this time or later.
    pub(crate) fn most_in_a_minute(&self, from: Duration) -> usize {
        let from = from.as_secs_f64();
        let later: Vec<f64> = self
            .times
            .iter()
            .copied()
            .filter(|at| *at >= from)
            .collect();
        let within = |(n, start): (usize, &f64)| {
            let end = start + WINDOW.as_secs_f64();
            later.iter().skip(n).take_while(|at| **at < end).count()
        };
        later
            .iter()
            .enumerate()
            .map(within)
            .max()
            .unwrap_or_default()
    }

    /// The longest time without a call, from this time on.
    pub(crate) fn longest_pause(&self, from: Duration) -> Duration {
        let from = from.as_secs_f64();
        let later = || self.times.iter().filter(|at| **at >= from);
        let gaps = later().zip(later().skip(1)).map(|(one, next)| next - one);
        let last = later()
            .next_back()
            .map_or(self.seconds, |last| self.seconds - last);
        Duration::from_secs_f64(gaps.fold(last, f64::max))
    }
}

/// A count as a figure.
#[expect(clippy::as_conversions, reason = "far below 2^52")]
pub(crate) const fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(times: &[f64]) -> Admitted {
        Admitted {
            times: times.to_vec(),
            seconds: 100.0,
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_found_in_any_stretch() {
        let burst = vec![5.0; 600];
        assert!(admitted(&burst).beyond() <= 0.0);
        let mut more = burst.clone();
        more.extend([5.0, 5.0, 5.0]);
        assert!((admitted(&more).beyond() - 3.0).abs() < 1e-6);
        // A second later ten are refilled.
        let mut later = burst;
        later.extend([6.0; 12]);
        assert!((admitted(&later).beyond() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn minutes_and_pauses_are_counted_from_a_time_on() {
        let steady: Vec<f64> = (0..1000).map(|n| f64::from(n) * 0.1).collect();
        let steady = admitted(&steady);
        assert_eq!(steady.most_in_a_minute(Duration::from_secs(10)), 600);
        assert!(steady.longest_pause(Duration::ZERO) < Duration::from_millis(200));
        let pause = admitted(&[0.0, 50.0, 51.0]).longest_pause(Duration::from_secs(50));
        assert_eq!(pause, Duration::from_secs(49));
    }
}
