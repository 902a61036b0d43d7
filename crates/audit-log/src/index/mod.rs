//! The index of the log: which segments mention which subject.
//!
//! It is an inverted index in sorted runs that are merged in tiers, as log-structured merge trees have
//! them. A run is written once, in pages, behind the segments that it covers.

mod page;
mod slot;

pub use page::{Page, PageBuilder, key, key_after, read_page, slots_of};
pub use slot::{Posting, Slot};
