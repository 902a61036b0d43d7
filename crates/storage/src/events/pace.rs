//! How many segments are read at once.

use crate::{budget::Budget, tables::values};

/// How many segments are read at first; then twice as many each time.
pub(super) const FIRST_READ: i64 = 4;
/// How many segments or rows are read at once at the most.
pub(super) const MOST_READ: i64 = 512;
/// How many events may come with them.
const MOST_EVENTS_READ: usize = 16_384;

/// How many segments to read at once: few when few are needed, more the longer it takes.
pub(super) struct Pace {
    /// How many are read next.
    pub(super) limit: i64,
    /// How many events the last ones had.
    pub(super) events: usize,
}

impl Pace {
    pub(super) fn new(first: i64, budget: &Budget) -> Self {
        Self {
            limit: budget.allow(first),
            events: 0,
        }
    }

    /// Whether there may be more after this many segments.
    pub(super) fn is_full(&self, read: usize) -> bool {
        values::row_count(read) >= self.limit
    }

    /// Whether there may be more after this many segments, and then how many to read.
    pub(super) fn goes_on(&mut self, read: usize, budget: &Budget) -> bool {
        let goes_on = self.is_full(read);
        let fitting = read.saturating_mul(MOST_EVENTS_READ) / self.events.max(1);
        let next = (self.limit * 2)
            .min(values::row_count(fitting))
            .clamp(FIRST_READ, MOST_READ);
        self.limit = budget.allow(next);
        self.events = 0;
        goes_on
    }
}
