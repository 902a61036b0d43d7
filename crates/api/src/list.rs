//! Lists on the wire.

use ids::{Page, PageRequest, Ulid};
use serde::Serialize;

use crate::{Cursor, Query, QueryError};

/// How many items a page has when nothing is said.
pub(crate) const DEFAULT_LIMIT: usize = 20;
/// How many items a page can have.
pub(crate) const MAX_LIMIT: usize = 100;

/// Which page of which list is asked for.
#[derive(Clone, Debug)]
pub struct ListParams {
    /// Which page.
    pub page: PageRequest,
    binding: String,
}

impl ListParams {
    /// Takes `limit` and `cursor` and ends the reading of the query. `list` names the list and
    /// whatever besides the filters decides what is in it, such as whose it is.
    ///
    /// # Errors
    /// When one of them is bad, or a parameter is left that nobody asked for.
    pub fn finish(mut query: Query, list: &str) -> Result<Self, QueryError> {
        let limit = query.single("limit", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or("must be 1 to 100")
        })?;
        let cursor = query.single("cursor", |text| Ok::<_, String>(text.to_owned()))?;
        let binding = format!("{list};{}", query.binding());
        query.finish()?;
        let after = match cursor {
            Some(text) => Some(
                Cursor::decode(&text, &binding)
                    .map_err(|_| QueryError::Cursor)?
                    .after,
            ),
            None => None,
        };
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        Ok(Self {
            page: PageRequest { limit, after },
            binding,
        })
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct ListView<T> {
    /// The items, newest first.
    pub data: Vec<T>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// What to send as `cursor` for the next page.
    pub next_cursor: Option<String>,
}

/// A page as it goes out; `id` tells the ULID of an item.
pub fn list_view<T, V>(
    page: Page<T>,
    params: &ListParams,
    id: impl Fn(&T) -> Ulid,
    view: impl FnMut(T) -> V,
) -> ListView<V> {
    let last = page.items.last().filter(|_| page.has_more).map(id);
    ListView {
        has_more: page.has_more,
        next_cursor: last.map(|after| Cursor { after }.encode(&params.binding)),
        data: page.items.into_iter().map(view).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &[(&str, &str)]) -> Result<ListParams, QueryError> {
        let pairs = query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut query = Query::new(pairs);
        query.filter("status", |text| Ok::<_, String>(text.to_owned()))?;
        ListParams::finish(query, "things")
    }

    #[track_caller]
    fn refused(query: &[(&str, &str)]) {
        assert!(params(query).is_err(), "{query:?}");
    }

    #[test]
    fn the_next_page_is_the_same_lists() {
        let first = params(&[("status", "a")]).unwrap();
        let page = Page {
            items: vec![Ulid(9), Ulid(5)],
            has_more: true,
        };
        let view = list_view(page, &first, |&id| id, |id| id.0);
        let cursor = view.next_cursor.unwrap();
        let next = params(&[("status", "a"), ("cursor", &cursor), ("limit", "7")]).unwrap();
        assert_eq!(
            next.page,
            PageRequest {
                limit: 7,
                after: Some(Ulid(5))
            }
        );
        assert_eq!(
            params(&[("cursor", &cursor)]).unwrap_err(),
            QueryError::Cursor
        );
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page {
            items: vec![Ulid(9)],
            has_more: false,
        };
        let view = list_view(page, &params(&[]).unwrap(), |&id| id, |id| id.0);
        assert_eq!(view.next_cursor, None);
    }

    #[test]
    fn bad_parameters_are_refused() {
        refused(&[("limit", "0")]);
        refused(&[("limit", "101")]);
        refused(&[("limit", "")]);
        refused(&[("limit", "1"), ("limit", "1")]);
        refused(&[("cursor", "")]);
        refused(&[("Status", "a")]);
    }
}
