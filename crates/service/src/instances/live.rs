//! How many instances serve the database, as this process last saw.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// How many instances are live, this one included. Clones share the count, which each report of this
/// process brings up to date; while reports fail it stays.
#[derive(Clone, Debug)]
pub struct LiveInstances(Arc<AtomicU32>);

impl Default for LiveInstances {
    /// This process alone.
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl LiveInstances {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> NonZeroU32 {
        NonZeroU32::new(self.0.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn set(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.0.store(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_a_count_that_is_never_zero() {
        let live = LiveInstances::default();
        let clone = live.clone();
        assert_eq!(clone.count().get(), 1);
        live.set(3);
        assert_eq!(clone.count().get(), 3);
        live.set(0);
        assert_eq!(clone.count().get(), 1);
    }
}
