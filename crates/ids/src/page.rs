//! A place in a list, newest first.

use ulid::Ulid;

/// What part of a list is asked for: `limit` items with ids below `after`, the highest id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at the most; at least 1.
    pub limit: usize,
    /// The last id of the page before, or `None` for the first page.
    pub after: Option<Ulid>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Whether there are older ones.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` items: the one too many tells that there are more.
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more }
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            has_more: self.has_more,
        }
    }
}
