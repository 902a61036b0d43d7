//! Latencies, all of them kept: a measurement has at most some millions, and no bucket rounds them.

use std::time::Duration;

/// Latencies of calls.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latencies below which these percentages of the calls stay, in milliseconds; NaN of no calls.
    #[must_use]
    pub fn millis<const N: usize>(mut self, percentiles: [usize; N]) -> [f64; N] {
        self.0.sort_unstable();
        percentiles.map(|percentile| {
            let rank = self.0.len().saturating_mul(percentile) / 100;
            let found = self.0.get(rank).or(self.0.last());
            found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_calls() {
        let (mut even, mut odd) = (Latencies::default(), Latencies::default());
        for n in (0..100).rev() {
            let latencies = if n % 2 == 0 { &mut even } else { &mut odd };
            latencies.record(Duration::from_millis(n));
        }
        even.merge(odd);
        assert_eq!(even.len(), 100);
        assert_eq!(even.millis([0, 50, 99, 100]), [0.0, 50.0, 99.0, 99.0]);
        assert!(Latencies::default().millis([99])[0].is_nan());
    }
}
