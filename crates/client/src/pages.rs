//! Lists as streams of their items.

use std::collections::VecDeque;

use api::client::Page;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::Error, request::Client};

/// The items of a list, newest first; pages are fetched as they are needed.
pub type Items<T> = BoxStream<'static, Result<T, Error>>;

/// How many items a page asks for: the most that it can have.
const PAGE_LIMIT: u32 = 100;

struct State<T> {
    client: Client,
    path: String,
    items: VecDeque<T>,
    /// What the next page is asked for with; `None` behind the last page.
    next: Option<Vec<(&'static str, String)>>,
}

impl Client {
    /// The items of a list.
    pub(crate) fn items<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        filters: &impl Serialize,
    ) -> Items<T> {
        let path = match self.request(Method::GET, path).query(filters) {
            Ok(request) => request.into_path(),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let state = State {
            client: self.clone(),
            path,
            items: VecDeque::new(),
            next: Some(Vec::new()),
        };
        stream::try_unfold(state, next_item).boxed()
    }

    /// One page of a list.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<Page<T>, Error> {
        let mut request = self.request(Method::GET, path);
        request.add_parameter("limit", &PAGE_LIMIT.to_string());
        for (name, value) in parameters {
            request.add_parameter(name, value);
        }
        request.send().await?.json()
    }
}

/// Goes on over pages that hold nothing: where few items match, there are such.
async fn next_item<T: DeserializeOwned>(
    mut state: State<T>,
) -> Result<Option<(T, State<T>)>, Error> {
    loop {
        if let Some(item) = state.items.pop_front() {
            return Ok(Some((item, state)));
        }
        let Some(parameters) = state.next.take() else {
            return Ok(None);
        };
        let page: Page<T> = state.client.page(&state.path, &parameters).await?;
        state.items = page.data.into();
        state.next = page
            .next_cursor
            .filter(|_| page.has_more)
            .map(|cursor| vec![("cursor", cursor)]);
    }
}
