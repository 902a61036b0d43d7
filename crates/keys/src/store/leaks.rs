//! The store traits for reports of leaked tokens.

use ids::RequestId;
use time::OffsetDateTime;

use crate::{LeakReport, LeakSubject};

/// Queries of a store of reports.
pub trait LeakQueries {
    /// The store's error.
    type Error;

    /// Up to `limit` reports that were received at `until` or before, the oldest first.
    fn leak_reports(
        &mut self,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<LeakReport>, Self::Error>;
}

/// Writes of a store of reports; all within the caller's transaction.
pub trait LeakStore: LeakQueries {
    /// Adds reports while fewer than [`MAX_LEAK_REPORTS`](crate::MAX_LEAK_REPORTS) wait; how many of the first were
    /// added. Transactions at the same time may add a few more.
    fn leak_reports_insert(&mut self, reports: &[LeakReport]) -> Result<usize, Self::Error>;

    /// Removes a report that was handled.
    fn leak_report_remove(&mut self, id: RequestId) -> Result<(), Self::Error>;

    /// Notes that a leak of this key at this location is told of at `at`. `false`, and nothing is noted, when one at
    /// this location was told of at `since` or later, or
    /// [`MAX_LEAK_NOTICES`](crate::MAX_LEAK_NOTICES) leaks of the key were; older notices of the key are removed.
    fn leak_notice_insert(
        &mut self,
        subject: LeakSubject,
        location: &[u8; 32],
        at: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<bool, Self::Error>;
}
