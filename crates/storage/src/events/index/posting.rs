//! What the index is made of.

use ids::Ulid;
use stores::StoreError;

use super::super::{
    bounds::{highest, lowest},
    segment::{Subject, ulid},
};
use crate::values;

/// How many milliseconds of ids a slot has. In a busy second there are two thousand segments; whoever
/// looks for one reads those of its slot.
const SLOT_MS: u64 = 8;

/// A stretch of time in ids; that of a segment is the one of its last id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u64);

impl Slot {
    /// The first of all.
    pub(crate) const FIRST: Self = Self(0);

    /// The one of this number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The one of an id.
    pub(crate) fn of(id: Ulid) -> Self {
        Self(id.timestamp_ms() / SLOT_MS)
    }

    /// The one of a stored id.
    pub(crate) fn of_bytes(id: [u8; 16]) -> Self {
        Self::of(ulid(id))
    }

    /// Its number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The one of a number in a column.
    pub(crate) fn read(number: i64) -> Result<Self, StoreError> {
        values::number(number, "a slot of the index of events").map(Self)
    }

    /// Its number in a column.
    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The lowest id in it.
    pub(crate) fn lowest(self) -> Ulid {
        lowest(self.0.saturating_mul(SLOT_MS))
    }

    /// The highest id in it.
    pub(crate) fn highest(self) -> Ulid {
        highest(self.0.saturating_mul(SLOT_MS).saturating_add(SLOT_MS - 1))
    }
}

/// That a segment of a slot mentions a subject. They sort by subject, then by time.
pub(crate) type OutgoingMessage = (Subject, Slot);
