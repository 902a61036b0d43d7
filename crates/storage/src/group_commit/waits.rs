//! How long what is queued has waited.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Since when the oldest job waits, in nanoseconds from `base`; 0 where none does. One job of each batch reads the
/// clock, and the others find its time there.
pub(super) struct Waits {
    base: Instant,
    /// Of what is queued.
    queued: AtomicU64,
    /// Of what the receiver has taken last and is at.
    taken: AtomicU64,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            queued: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// A job is queued.
    pub(super) fn begin(&self) {
        if self.queued.load(Ordering::Relaxed) == 0 {
            let relaxed = Ordering::Relaxed;
            // It fails where another job is older.
            let _ = self
                .queued
                .compare_exchange(0, self.now(), relaxed, relaxed);
        }
    }

    /// All that was taken before is done.
    pub(super) fn end(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    /// What was queued is taken, all of it unless `left`.
    pub(super) fn take(&self, left: bool) {
        let since = self.queued.swap(0, Ordering::Relaxed);
        self.taken.store(since, Ordering::Relaxed);
        if left {
            self.begin();
        }
    }

    pub(super) fn oldest(&self) -> Duration {
        let since = [&self.taken, &self.queued].map(|since| since.load(Ordering::Relaxed));
        let since = since.into_iter().find(|since| *since > 0);
        since.map_or(Duration::ZERO, |since| {
            Duration::from_nanos(self.now().saturating_sub(since))
        })
    }
}
