//! Lists and their pages.

use api_macros::{Query, Response};
use ids::{Page, PageRequest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Cursor,
    query::{Parameters, Query, QueryError},
    wire::{AnySchema, AtMost, ClientType, Components, CursorText, FromText, WireType, whole},
};

/// How many items a page has when nothing is said.
const DEFAULT_LIMIT: usize = 20;
/// How many items a page can have.
const MAX_LIMIT: usize = 100;

/// Which page of a list is asked for.
#[derive(Query)]
pub(crate) struct PageQuery {
    /// The most items of the page.
    limit: Option<Limit>,
    /// `next_cursor` of the previous page. It is valid for the same list with the same filters.
    cursor: Option<CursorText>,
}

struct Limit(usize);

impl WireType for Limit {
    fn schema(_: &mut Components) -> AnySchema {
        let mut limit = whole(1, MAX_LIMIT);
        limit.default = Some(Self::example());
        limit.into()
    }

    fn example() -> Value {
        json!(DEFAULT_LIMIT)
    }
}

impl ClientType for Limit {
    type As = u32;
}

impl FromText for Limit {
    fn from_text(text: String) -> Result<Self, String> {
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.map(Self).ok_or_else(|| "must be 1 to 100".to_owned())
    }
}

/// Which page of which list is asked for.
#[derive(Clone, Debug)]
pub struct ListParams {
    /// Which page.
    pub page: PageRequest,
    binding: String,
}

impl ListParams {
    /// Reads the query of a list: its filters, `limit` and `cursor`. `list` names the list and whatever
    /// besides the filters decides what is in it, such as whose it is.
    ///
    /// # Errors
    /// When a value is bad, or there is an unknown parameter.
    pub fn read<F: Query>(
        mut query: Parameters,
        by_admin: bool,
        list: &str,
    ) -> Result<(F, Self), QueryError> {
        let filters = F::read(&mut query, by_admin)?;
        let binding = format!("{list};{}", query.binding());
        let PageQuery { limit, cursor } = PageQuery::read_all(query, by_admin)?;
        let cursor = cursor.map(|CursorText(text)| Cursor::decode(&text, &binding));
        let after = cursor.transpose().map_err(|_| QueryError::Cursor)?;
        let limit = limit.map_or(DEFAULT_LIMIT, |Limit(limit)| limit);
        let params = Self {
            page: PageRequest::new(limit, after.map(|cursor| cursor.after)),
            binding,
        };
        Ok((filters, params))
    }
}

/// One page of a list, newest first.
#[derive(Debug, Serialize, Deserialize, Response)]
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

    /// Which things to list.
    #[derive(Query)]
    struct Filters {
        /// Only things with this status.
        #[expect(dead_code, reason = "only what a cursor is bound to is tested")]
        status: Option<String>,
    }

    impl FromText for String {
        fn from_text(text: String) -> Result<Self, String> {
            Ok(text)
        }
    }

    fn params(query: &[(&str, &str)]) -> Result<ListParams, QueryError> {
        let pairs = query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let query = Parameters::new(pairs);
        ListParams::read::<Filters>(query, false, "things").map(|(_, params)| params)
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
