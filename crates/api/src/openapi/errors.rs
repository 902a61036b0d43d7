//! The errors that an operation can respond with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, Ref, RefOr, Response, ResponseBuilder,
    content::ContentBuilder,
    example::{Example, ExampleBuilder},
    extensions::Extensions,
};

use super::{Described, Method, Who, headers::Header};
use crate::{ErrorCode, FieldError, Problem};

/// The error codes of an operation, by status.
pub(super) fn codes(operation: &Described) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut codes: Vec<ErrorCode> = operation.operation.errors.to_vec();
    codes.extend(of_caller(operation.who));
    // A malformed head is refused whatever it asks for.
    codes.push(ErrorCode::InvalidRequest);
    if operation.who != Who::Anyone {
        codes.extend(of_form(operation));
    }
    // The table's order is the order of the statuses.
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for &code in ErrorCode::ALL {
        if codes.contains(&code) {
            by_status.entry(code.status()).or_default().push(code);
        }
    }
    by_status
}

/// The errors about the caller.
fn of_caller(who: Who) -> Vec<ErrorCode> {
    let mut codes = match who {
        Who::Anyone => return Vec::new(),
        Who::Admin => vec![
            ErrorCode::NotPermitted,
            ErrorCode::PartnerPlanRequired,
            ErrorCode::IpNotAllowed,
        ],
        Who::Any => vec![ErrorCode::PartnerPlanRequired, ErrorCode::IpNotAllowed],
        Who::Partner(_) => vec![
            ErrorCode::InsufficientScope,
            ErrorCode::NotPermitted,
            ErrorCode::PartnerPlanRequired,
            ErrorCode::IpNotAllowed,
        ],
    };
    codes.extend([
        ErrorCode::MissingCredentials,
        ErrorCode::InvalidKey,
        ErrorCode::KeyExpired,
        ErrorCode::KeyRevoked,
        ErrorCode::KeyDisabled,
        ErrorCode::RateLimited,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ]);
    codes
}

/// The errors about the form of the request.
fn of_form(operation: &Described) -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    if operation.path.contains('{') {
        codes.push(ErrorCode::NotFound);
    }
    if operation.operation.is_list() {
        codes.push(ErrorCode::InvalidCursor);
    }
    if operation.method.has_body() || operation.operation.body.is_some() {
        codes.extend([
            ErrorCode::PayloadTooLarge,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::ValidationFailed,
        ]);
    }
    if operation.method == Method::Post {
        codes.extend([
            ErrorCode::IdempotencyInProgress,
            ErrorCode::IdempotencyKeyReused,
        ]);
    }
    codes
}

/// The name of the response with one of these codes, which many operations share.
pub(super) fn response_name(who: Who, codes: &[ErrorCode]) -> String {
    let names = codes.iter().map(|code| code.as_str());
    let name = names.collect::<Vec<_>>().join(".");
    if who == Who::Anyone {
        format!("open.{name}")
    } else {
        name
    }
}

/// The response with one of these codes, all of the same status.
pub(super) fn response(who: Who, status: u16, codes: &[ErrorCode]) -> Response {
    let meanings = codes
        .iter()
        .map(|code| format!("`{code}`: {}.", code.title()))
        .collect::<Vec<_>>();
    let mut response = ResponseBuilder::new()
        .description(meanings.join(" "))
        .content("application/problem+json", content(codes))
        .extensions(Some(extensions(codes)));
    for header in headers(who, status, codes) {
        response = response.header_ref(header.name(), header.reference());
    }
    response.build()
}

fn headers(who: Who, status: u16, codes: &[ErrorCode]) -> Vec<Header> {
    let mut headers = vec![Header::RequestId];
    if who == Who::Anyone {
        return headers;
    }
    headers.extend([
        Header::AuditEventId,
        Header::RateLimitPolicy,
        Header::RateLimit,
    ]);
    headers.extend(Header::of_older_secrets(who));
    match status {
        401 => headers.push(Header::WwwAuthenticate),
        403 if codes.contains(&ErrorCode::InsufficientScope) => {
            headers.push(Header::WwwAuthenticate);
        }
        429 | 503 => headers.push(Header::RetryAfter),
        _ => {}
    }
    headers
}

/// The codes for programs. A schema of its own would make one more type of each response in generated clients.
fn extensions(codes: &[ErrorCode]) -> Extensions {
    let codes: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    Extensions::from_iter([("x-error-codes", json!(codes))])
}

fn content(codes: &[ErrorCode]) -> Content {
    let examples = codes.iter().map(|code| {
        (
            code.as_str(),
            RefOr::<Example>::Ref(Ref::new(reference(*code))),
        )
    });
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build()
}

fn reference(code: ErrorCode) -> String {
    format!("#/components/examples/{code}")
}

/// The example of a code, for the responses to refer to.
pub(super) fn named_example(public_url: &str, code: ErrorCode) -> Example {
    ExampleBuilder::new()
        .summary(code.title())
        .value(Some(example(public_url, code)))
        .build()
}

/// A problem document with this code, as the server may send it.
#[must_use]
pub fn example(public_url: &str, code: ErrorCode) -> Value {
    let mut problem = Problem::new(
        public_url,
        code,
        code.help().detail.to_owned(),
        "req_01J9ZK6V3QG8W0T5N4R2M7XACD".to_owned(),
    );
    if code == ErrorCode::ValidationFailed {
        problem.errors = vec![
            FieldError::new("/slug", "is reserved; choose another"),
            FieldError::new("/plan", "the plans are free, standard, enterprise"),
        ];
    }
    if code == ErrorCode::RateLimited {
        problem.violated_policies = vec!["key"];
    }
    // None of the members can fail to be written.
    serde_json::to_value(problem).unwrap_or_else(|_| json!({}))
}
