//! How audit events are laid out in storage: many events in one value, a segment, and the pages of an index
//! that finds segments.
//!
//! `FORMAT.md` describes the bytes. They outlive a release, so a version that was ever written stays
//! readable: `tests/golden` has an example of each. This crate knows no database and no SQL.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod encode;
mod index;
mod matching;
mod segment;
mod subject;
mod timestamp;

pub use encode::EncodedSegment;
pub use index::{Page, PageBuilder, Posting, Slot, key, key_after, read_page, slots_of};
pub use segment::{Entry, Segment, subjects_of};
pub use subject::{SUBJECT_LEN, Subject, SubjectKind, subject};
pub use timestamp::{highest_id, id_bytes, id_from_bytes, id_micros, id_second, lowest_id};

/// Stored bytes that are no valid encoding, or an event that can't be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} can't be read")]
pub struct Corrupt(
    /// What the bytes should have been.
    pub &'static str,
);
