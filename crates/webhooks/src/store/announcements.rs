//! The store traits for the ends of keys and orgs that are announced, each once.

use ids::{KeyId, OrgId};
use time::OffsetDateTime;

/// Queries for ends that are to be announced.
pub trait AnnouncementQueries {
    /// The store's error.
    type Error;

    /// Up to `limit` keys that end after `from` and not after `until`, the first to end first: those
    /// that are not revoked and of which no end after `from` is noted.
    fn keys_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<KeyId>, Self::Error>;

    /// The same of orgs: those that are not deleted or being deleted.
    fn orgs_to_announce(
        &mut self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<OrgId>, Self::Error>;
}

/// Writes of announced ends; all within the caller's transaction.
pub trait AnnouncementStore: AnnouncementQueries {
    /// Records that an end was announced; `false` when this one was recorded before.
    fn announcement_insert(
        &mut self,
        subject: &str,
        ends_at: OffsetDateTime,
    ) -> Result<bool, Self::Error>;
}
