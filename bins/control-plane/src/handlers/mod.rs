//! Handlers: each turns a request into one call of a use case, and its result into one answer.

pub mod audit_events;
pub mod billing;
pub mod guide;
pub mod health;
pub mod instances;
pub mod keys;
pub mod leaks;
pub mod openapi;
pub mod orgs;
pub mod partners;
pub mod plans;
pub mod problems;
pub mod reference;
pub mod secrets;
pub mod token;
pub mod trust_rules;
pub mod webhooks;
pub mod whoami;
pub mod workspaces;

use api::{ListParams, ListView, list_view};
use ids::Page;
use serde::Serialize;
use service::{Audited, Rendered};

use crate::http::{AuditedResponse, HandlerError};

/// An answer with a JSON body.
fn json<T, V: Serialize>(
    answer: Audited<T>,
    view: impl FnOnce(T) -> V,
) -> Result<AuditedResponse, HandlerError> {
    AuditedResponse::json(answer, view).map_err(HandlerError::from)
}

/// A body written beside the change that it tells of.
fn rendered(view: &impl Serialize) -> Rendered {
    // None of the wire types refuses to be written; an empty object would say so if one did.
    Rendered::new(serde_json::to_string(view).unwrap_or_else(|_| "{}".to_owned()))
}

/// An answer with one page of a list.
fn page<T, V: Serialize>(
    answer: Audited<Page<T>>,
    params: &ListParams,
    view: impl FnMut(T) -> V,
) -> Result<AuditedResponse, HandlerError> {
    json(answer, |page| -> ListView<V> {
        list_view(page, params, view)
    })
}
