//! Pages of rows that cost a bounded amount of work.
//!
//! The engine is asked for the next rows of an index, so many and no more; which of them are wanted is
//! decided here. A condition that no index has would let the engine read on for as long as it finds none.

use ids::{Page, PageRequest, Ulid};
use stores::StoreError;

use super::values;
use crate::{budget::Budget, session::Session};

/// How many rows are read at once at the most.
const MAX_READ: i64 = 256;

/// The page of those items that `wanted` picks of a list. `next` gives its next items below an id, the
/// highest first, up to a number.
pub(crate) fn page<M, T>(
    session: &mut Session<M>,
    page: PageRequest,
    id: impl Fn(&T) -> Ulid,
    wanted: impl Fn(&T) -> bool,
    mut next: impl FnMut(&mut Session<M>, Option<Ulid>, i64) -> Result<Vec<T>, StoreError>,
) -> Result<Page<T>, StoreError> {
    let mut budget = Budget::of(page);
    let (mut items, mut below) = (Vec::new(), page.after);
    let mut limit = values::rows_for(page);
    let stopped = loop {
        let allowed = budget.allow(limit);
        let read = next(session, below, allowed)?;
        budget.spend_rows(read.len());
        let is_full = values::row_count(read.len()) >= allowed;
        below = read.last().map(&id);
        items.extend(read.into_iter().filter(&wanted));
        if !is_full || items.len() > page.limit {
            break None;
        }
        if session.must_stop(&budget)? {
            session.note_cut();
            break below;
        }
        limit = limit.saturating_mul(2).min(MAX_READ.max(limit));
    };
    Ok(Page::cut(items, page.limit, stopped, id))
}
