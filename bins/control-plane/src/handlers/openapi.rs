//! `/cp/openapi.json`.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{HttpResponse, http::header::CACHE_CONTROL};
use api::openapi::{Content, Described, Operation, Success, Tag, document};

use super::reference::Published;

pub const OPENAPI: Operation = Operation::new(
    "getOpenApi",
    Tag::Reference,
    "Read this description as OpenAPI",
    &[Success::new(
        200,
        "An OpenAPI 3.1 document.",
        Content::DOCUMENT,
    )],
);

/// The URL of the server in the document that is kept in the repository.
pub const EXAMPLE_URL: &str = "http://127.0.0.1:8080";

/// The document as text.
///
/// # Errors
/// When it can't be written as JSON, which none of its parts refuses.
pub fn text(calls: &[Described], public_url: &str) -> serde_json::Result<String> {
    // Through a value, so that the members always stand in the same order.
    let document = serde_json::to_value(document(calls, public_url))?;
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The document.
pub fn read(published: &Arc<Published>) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || {
        ready(
            HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, "no-cache"))
                .content_type("application/json")
                .body(published.document.clone()),
        )
    }
}

#[cfg(test)]
mod tests;
