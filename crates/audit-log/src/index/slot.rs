//! Slots of time, and postings.

use ids::Ulid;

use crate::{Corrupt, Subject, highest_id, id_from_bytes, lowest_id};

/// How many milliseconds of ids a slot has. In a busy second there are two thousand segments; whoever
/// looks for one reads those of its slot.
const SLOT_MS: u64 = 8;

/// A stretch of time in ids; that of a segment is the one of its last id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u64);

impl Slot {
    /// The first of all.
    pub const FIRST: Self = Self(0);

    /// The one of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The one of an id.
    #[must_use]
    pub fn of(id: Ulid) -> Self {
        Self(id.timestamp_ms() / SLOT_MS)
    }

    /// The one of a stored id.
    #[must_use]
    pub fn of_bytes(id: [u8; 16]) -> Self {
        Self::of(id_from_bytes(id))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one of a number in a column.
    ///
    /// # Errors
    /// [`Corrupt`] when it is negative.
    pub fn read(number: i64) -> Result<Self, Corrupt> {
        let number = u64::try_from(number);
        number
            .map(Self)
            .map_err(|_| Corrupt("a slot of the index of events"))
    }

    /// Its number in a column.
    #[must_use]
    pub fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The lowest id in it.
    #[must_use]
    pub fn lowest(self) -> Ulid {
        lowest_id(self.0.saturating_mul(SLOT_MS))
    }

    /// The highest id in it.
    #[must_use]
    pub fn highest(self) -> Ulid {
        highest_id(self.0.saturating_mul(SLOT_MS).saturating_add(SLOT_MS - 1))
    }
}

/// An entry of the index: a segment of the slot mentions the subject. They sort by subject, then by time.
pub type Posting = (Subject, Slot);
