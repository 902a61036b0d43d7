//! The store trait for deleting what is older than it need be.

use time::OffsetDateTime;

use super::DeliveryQueries;

/// Deletes what is older than it need be, of all tables of webhooks; within the caller's transaction.
pub trait WebhookRetention: DeliveryQueries {
    /// Deletes up to `limit` deliveries that ended before `since` or were to endpoints that are
    /// deleted, then deleted endpoints that have none left, then announcements of ends before `since`;
    /// how many of all these.
    fn webhooks_forget(
        &mut self,
        since: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;
}
