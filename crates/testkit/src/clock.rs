//! A clock that moves when the test says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration as StdDuration,
};

use time::{Duration, OffsetDateTime, macros::datetime};

/// When a new [`FakeClock`] stands, and when the builders' values were made.
pub const START: OffsetDateTime = datetime!(2026-04-23 08:00:00.123456 UTC);

/// A clock that moves when the test says so. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct FakeClock {
    /// Microseconds since [`START`]: what every store can keep.
    elapsed: Arc<AtomicI64>,
    /// By how many microseconds the time of day was set back.
    behind: Arc<AtomicI64>,
}

impl FakeClock {
    /// A clock that stands at [`START`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let behind = self.behind.load(Ordering::SeqCst);
        START + Duration::microseconds(self.elapsed.load(Ordering::SeqCst) - behind)
    }

    /// The time since the clock was made; it moves on with [`FakeClock::now`], and never back.
    #[must_use]
    pub fn monotonic(&self) -> StdDuration {
        let elapsed = self.elapsed.load(Ordering::SeqCst);
        StdDuration::from_micros(elapsed.try_into().unwrap())
    }

    /// Moves the clock on by whole microseconds; what is left over is dropped.
    ///
    /// # Panics
    /// When the clock would go back.
    pub fn advance(&self, by: Duration) {
        assert!(!by.is_negative(), "a clock does not go back");
        let micros = by.whole_microseconds().try_into().unwrap();
        self.elapsed.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the time of day back by whole microseconds, as an operator may; what is left over is
    /// dropped.
    ///
    /// # Panics
    /// When that is more than a number holds.
    pub fn set_back(&self, by: Duration) {
        let micros = by.whole_microseconds().try_into().unwrap();
        self.behind.fetch_add(micros, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_move_together_for_all_handles() {
        let clock = FakeClock::new();
        let other = clock.clone();
        assert_eq!((clock.now(), clock.monotonic()), (START, StdDuration::ZERO));
        other.advance(Duration::milliseconds(1500));
        assert_eq!(clock.now(), START + Duration::milliseconds(1500));
        assert_eq!(clock.monotonic(), StdDuration::from_millis(1500));
        other.set_back(Duration::seconds(9));
        assert_eq!(clock.now(), START - Duration::milliseconds(7500));
        assert_eq!(clock.monotonic(), StdDuration::from_millis(1500));
    }
}
