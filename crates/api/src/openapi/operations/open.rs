//! Calls that ask for no credential and leave no event.

use super::{Operation, Tag, success};
use crate::{ErrorCode, openapi::Shape};

/// Whether the process answers.
pub const HEALTHZ: Operation = Operation {
    id: "healthz",
    tag: Tag::Operations,
    summary: "Ask whether the process answers",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "It does.", Shape::Health)],
    refusals: &[],
};

/// Whether the database answers too.
pub const READYZ: Operation = Operation {
    id: "readyz",
    tag: Tag::Operations,
    summary: "Ask whether calls can be served",
    detail: "The database answers and takes changes, as of less than a second ago. It is asked in the \
             background: this costs no connection, however often it is called.",
    query: &[],
    body: None,
    answers: &[success(200, "They can.", Shape::Health)],
    refusals: &[ErrorCode::Internal, ErrorCode::Unavailable],
};

/// The numbers.
pub const METRICS: Operation = Operation {
    id: "metrics",
    tag: Tag::Operations,
    summary: "Read the metrics",
    detail: "In the text format of Prometheus. They name no key, partner, org or address.",
    query: &[],
    body: None,
    answers: &[success(200, "The numbers.", Shape::Metrics)],
    refusals: &[],
};

/// This description.
pub const OPENAPI: Operation = Operation {
    id: "getOpenApi",
    tag: Tag::Reference,
    summary: "Read this description as OpenAPI",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "An OpenAPI 3.1 document.", Shape::Document)],
    refusals: &[],
};

/// This description as a page.
pub const REFERENCE: Operation = Operation {
    id: "getReference",
    tag: Tag::Reference,
    summary: "Read this description as a page",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "A page for people.", Shape::Page)],
    refusals: &[],
};

/// An error explained.
pub const PROBLEM_READ: Operation = Operation {
    id: "getProblem",
    tag: Tag::Reference,
    summary: "Read what an error means",
    detail: "The member `type` of a problem document leads here.",
    query: &[],
    body: None,
    answers: &[success(200, "A page for people.", Shape::Page)],
    refusals: &[ErrorCode::NotFound],
};
