//! Lists and their pages.

use api_macros::Response;
use ids::{Page, PageRequest};
use serde::Serialize;

use crate::{
    Cursor, Query, QueryError,
    wire::{AtMost, CursorText},
};

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
    /// When one of them is bad, or there is an unknown parameter.
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
            page: PageRequest::new(limit, after),
            binding,
        })
    }
}

/// One page of a list, newest first.
#[derive(Debug, Serialize, Response)]
#[api(name = format!("{}List", T::name()))]
pub struct ListView<T> {
    /// The items, newest first.
    #[api(as = AtMost<MAX_LIMIT, T>)]
    pub data: Vec<T>,
    /// Whether there are more pages. Where few items match, a page may hold fewer items than `limit`, even
    /// none, and still be followed by another.
    pub has_more: bool,
    /// The `cursor` of the next page; `null` on the last page.
    #[api(as = Option<CursorText>)]
    pub next_cursor: Option<String>,
}

/// A page of a list as a response.
pub fn list_view<T, V>(
    page: Page<T>,
    params: &ListParams,
    view: impl FnMut(T) -> V,
) -> ListView<V> {
    let next = page.next.map(|after| Cursor { after });
    ListView {
        has_more: next.is_some(),
        next_cursor: next.map(|cursor| cursor.encode(&params.binding)),
        data: page.items.into_iter().map(view).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ids::Ulid;

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
            next: Some(Ulid(4)),
        };
        let view = list_view(page, &first, |id| id.0);
        let cursor = view.next_cursor.unwrap();
        let next = params(&[("status", "a"), ("cursor", &cursor), ("limit", "7")]).unwrap();
        assert_eq!(next.page, PageRequest::new(7, Some(Ulid(4))));
        assert_eq!(
            params(&[("cursor", &cursor)]).unwrap_err(),
            QueryError::Cursor
        );
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page {
            items: vec![Ulid(9)],
            next: None,
        };
        let view = list_view(page, &params(&[]).unwrap(), |id| id.0);
        assert_eq!((view.has_more, view.next_cursor), (false, None));
    }

    #[test]
    fn an_empty_page_may_go_on() {
        let page = Page::<Ulid> {
            items: Vec::new(),
            next: Some(Ulid(4)),
        };
        let view = list_view(page, &params(&[]).unwrap(), |id| id.0);
        assert!(view.has_more && view.next_cursor.is_some());
    }

    /// Clients keep cursors over an upgrade: their bytes stay.
    #[test]
    fn a_cursor_of_an_earlier_release_is_taken() {
        let cursor = "AWs5ZIck__8IAAAAAAAAAAAAAAAAAAAATQ";
        let next = params(&[("cursor", cursor)]).unwrap();
        assert_eq!(next.page.after, Some(Ulid(77)));
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
