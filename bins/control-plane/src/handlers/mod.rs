//! Handlers: each turns a request into one call of a use case, and its result into one answer.

pub mod audit_events;
pub mod billing;
pub mod health;
pub mod keys;
pub mod orgs;
pub mod partners;
pub mod whoami;
pub mod workspaces;

use api::{ListParams, ListView, list_view};
use ids::{Page, Ulid};
use serde::Serialize;
use service::Answer;

use crate::http::{Failure, Reply};

/// An answer with a JSON body.
fn json<T, V: Serialize>(answer: Answer<T>, view: impl FnOnce(T) -> V) -> Result<Reply, Failure> {
    Reply::json(answer, view).map_err(Failure::from)
}

/// An answer with one page of a list.
fn page<T, V: Serialize>(
    answer: Answer<Page<T>>,
    params: &ListParams,
    id: impl Fn(&T) -> Ulid,
    view: impl FnMut(T) -> V,
) -> Result<Reply, Failure> {
    json(answer, |page| -> ListView<V> {
        list_view(page, params, id, view)
    })
}
