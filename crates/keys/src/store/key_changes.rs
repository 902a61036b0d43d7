//! The store traits for the log of changes to keys.

use crate::Changes;

/// How many changes the log keeps at the least.
pub const MIN_CHANGES_KEPT: u64 = 10_000;

/// Queries of the log of changes to keys and their partners.
pub trait KeyChangeQueries {
    /// The store's error.
    type Error;

    /// The changes since a revision that a cache of keys must know, and the revision of the last change. What is
    /// read after this is no older than that change.
    fn key_changes(&mut self, since: u64) -> Result<Changes, Self::Error>;
}

/// Writes of the log of changes; all within the caller's transaction.
pub trait KeyChangeStore: KeyChangeQueries {
    /// Asks every instance to confirm at once that it has applied the last change that this transaction has
    /// logged; the revision of that change.
    fn key_change_confirm(&mut self) -> Result<u64, Self::Error>;
}
