//! The index of the log: which segments mention whom.
//!
//! It is an inverted index in sorted runs that are merged in tiers, as log-structured merge trees have
//! them. A tree with a row for each mention has a page here and a page there changed; a run is
//! written once, from its beginning to its end, behind the segments that it covers. A question reads
//! those that no run covers yet as they are, so it is exact whatever the index has got to.

mod page;
mod posting;
mod search;

pub(super) use self::search::Search;
pub(crate) use self::{
    page::{Page, Pages, read_page},
    posting::{OutgoingMessage, Slot},
};
