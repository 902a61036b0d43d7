//! The index of the log: runs of pages, each of which covers a range of segments.

mod locks;
mod pages;
mod runs;

pub(crate) use self::{
    locks::{acquire, commit_lazily, release, wait_for_inflight},
    pages::{add_pages, gc, pages_after, pages_before},
    runs::{
        Run, begin_run, covered, delete_segment, drop_empty, drop_run, drop_unfinished, dropped,
        end_run, is_building, live, runs,
    },
};
