//! What a page of a list may cost.

use ids::PageRequest;

/// How many events may be decoded for each row of a budget. A segment has up to 512 of them, most have few.
const EVENTS_PER_ROW: usize = 16;

/// What is left of a page's budget. It is checked between two readings, so a page costs a little more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    rows: usize,
    events: usize,
}

impl Budget {
    /// All of it.
    pub(crate) const fn of(page: PageRequest) -> Self {
        let rows = if page.budget == 0 { 1 } else { page.budget };
        Self {
            rows,
            events: rows.saturating_mul(EVENTS_PER_ROW),
        }
    }

    /// The same with a quarter of the events.
    pub(crate) const fn with_fewer_events(self) -> Self {
        Self {
            rows: self.rows,
            events: self.events.div_ceil(4),
        }
    }

    /// How many rows to read next, of those that are wanted; at least one.
    pub(crate) fn allow(&self, wanted: i64) -> i64 {
        wanted
            .min(i64::try_from(self.rows).unwrap_or(i64::MAX))
            .max(1)
    }

    /// How many rows are left.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Pays for rows that were read.
    pub(crate) const fn spend_rows(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }

    /// Pays for a segment of this many events.
    pub(crate) const fn spend_segment(&mut self, events: usize) {
        self.spend_rows(1);
        self.events = self.events.saturating_sub(events);
    }

    /// Whether the page has to end here.
    pub(crate) const fn is_spent(&self) -> bool {
        self.rows == 0 || self.events == 0
    }
}
