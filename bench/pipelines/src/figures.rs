//! What was measured, summed up.

use std::{fmt, time::Duration};

/// How long creations took, and what went wrong.
#[derive(Default)]
pub(crate) struct Figures {
    creations: Vec<Duration>,
    failed: usize,
    time: Duration,
}

impl Figures {
    /// Notes a creation that was answered after this time.
    pub(crate) fn created(&mut self, after: Duration) {
        self.creations.push(after);
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
        self.creations.extend(other.creations);
        self.creations.sort_unstable();
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

    /// In what time so many of 100 creations were answered.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Duration {
        let place = self.creations.len().saturating_mul(of_hundred) / 100;
        let last = self.creations.last();
        self.creations
            .get(place)
            .or(last)
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |of_hundred| self.percentile(of_hundred).as_secs_f64() * 1000.0;
        write!(
            f,
            "{:.1} | {:.1} ms | {:.1} ms | {}",
            self.rate(),
            ms(50),
            ms(99),
            self.failed
        )
    }
}
