//! What was measured, summed up.

use std::{fmt, time::Duration};

use testkit::latency::Latencies;

/// How long creations took, and what went wrong.
#[derive(Default)]
pub(crate) struct Figures {
    creations: Latencies,
    failed: usize,
    time: Duration,
}

impl Figures {
    /// Notes a creation that was answered after this time.
    pub(crate) fn created(&mut self, after: Duration) {
        self.creations.record(after);
    }

    /// Notes an answer that was not hoped for.
    pub(crate) fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Notes for how long all of it was measured.
    pub(crate) fn ran(&mut self, time: Duration) {
        self.time = self.time.saturating_add(time);
    }

    /// Adds other figures.
    pub(crate) fn add(&mut self, other: Self) {
        self.creations.merge(other.creations);
        self.failed = self.failed.saturating_add(other.failed);
        self.ran(other.time);
    }

    /// How many answers were not hoped for.
    pub(crate) const fn failed(&self) -> usize {
        self.failed
    }

    /// Creations in a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.creations.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// In how many milliseconds 99 of 100 creations were answered.
    pub(crate) fn p99(&self) -> f64 {
        let [p99] = self.creations.clone().millis([99]);
        p99
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = self.creations.clone().millis([50, 99]);
        let (rate, failed) = (self.rate(), self.failed);
        write!(f, "{rate:.1} | {p50:.1} ms | {p99:.1} ms | {failed}")
    }
}
