//! Pages of lists, newest first.

use ulid::Ulid;

/// Which page of a list is wanted, and what it may cost: up to `limit` items with ids below `after`, the
/// highest id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at the most; at least 1.
    pub limit: usize,
    /// The position at which the page before ended, or `None` for the first page. Nothing needs to have
    /// this id.
    pub after: Option<Ulid>,
    /// About how many rows the store may read for this page; at least 1. Where few rows match, the page
    /// ends when they are used up, with fewer than `limit` items.
    pub budget: usize,
}

impl PageRequest {
    /// The budget of a page that a caller of the API asks for: a few milliseconds of a reader.
    pub const BUDGET: usize = 1024;

    /// A page with the usual budget.
    #[must_use]
    pub const fn new(limit: usize, after: Option<Ulid>) -> Self {
        Self {
            limit,
            after,
            budget: Self::BUDGET,
        }
    }

    /// The same page with another budget.
    #[must_use]
    pub const fn with_budget(self, budget: usize) -> Self {
        Self { budget, ..self }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The position from which the list goes on; `None` when this is its last page.
    pub next: Option<Ulid>,
}

impl<T> Page<T> {
    /// Makes a page from the items found, up to `limit + 1` of them: one too many tells that there are
    /// more. `stopped` is the position up to which the store has looked, `None` when it has seen all.
    #[must_use]
    pub fn cut(
        mut items: Vec<T>,
        limit: usize,
        stopped: Option<Ulid>,
        id: impl Fn(&T) -> Ulid,
    ) -> Self {
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(id)
        } else {
            stopped
        };
        Self { items, next }
    }

    /// The only page of a list that holds nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }

    /// Whether the list goes on. The next page may still be empty.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.next.is_some()
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}
