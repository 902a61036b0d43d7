//! `/problems/{code}`: what the `type` of a problem document leads to.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::HttpResponse;
use api::{
    ErrorCode,
    openapi::{Content, Operation, Success, Tag},
};

use super::reference::Published;

pub const PROBLEM_READ: Operation = Operation {
    detail: "The field `type` of a problem document links here: a page for browsers, which says what the error means \
             and what to do. Programs go by `code`.",
    errors: &[ErrorCode::NotFound],
    ..Operation::new(
        "getProblem",
        Tag::Reference,
        "Read the explanation of an error",
        &[Success::new(200, "A page for people.", Content::PAGE)],
    )
};

/// The page of an error.
pub fn read(
    published: &Arc<Published>,
    code: ErrorCode,
) -> impl Fn() -> Ready<HttpResponse> + Clone + 'static {
    let published = Arc::clone(published);
    move || ready(published.respond(published.problem(code)))
}
