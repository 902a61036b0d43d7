//! The store traits for what is stored of peppers.

use time::OffsetDateTime;

use crate::{PepperId, PepperNotes, PepperUse};

/// Queries of what is stored of peppers.
pub trait PepperQueries {
    /// The store's error.
    type Error;

    /// The check value of the pepper that the stored digests were made with.
    fn pepper_check(&mut self) -> Result<Option<String>, Self::Error>;

    /// How many keys that can be used at `now`, and how many orgs' secrets, need each pepper, in the order of the
    /// peppers' ids.
    fn pepper_uses(&mut self, now: OffsetDateTime) -> Result<Vec<PepperUse>, Self::Error>;

    /// The stored notes on peppers.
    fn pepper_notes(&mut self) -> Result<PepperNotes, Self::Error>;
}

/// Writes of what is stored of peppers; all within the caller's transaction.
pub trait PepperStore: PepperQueries {
    /// Replaces the pepper's check value, if it still is `expected`; `false` when it is not.
    ///
    /// Of two first starts at once, one gets `true`.
    fn pepper_check_replace(
        &mut self,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, Self::Error>;

    /// Stores this pepper at all keys that are not revoked and whose pepper is not known.
    fn pepper_label(&mut self, pepper: PepperId) -> Result<(), Self::Error>;

    /// Stores notes on peppers.
    fn pepper_notes_replace(&mut self, notes: &PepperNotes) -> Result<(), Self::Error>;
}
