//! Problem documents, RFC 9457.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{ErrorCode, FieldError, openapi::forms::of};

/// An error as clients see it, `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A URL that explains the error to a person.
    #[serde(rename = "type")]
    #[schema(schema_with = of::url)]
    pub kind: String,
    /// What it means, always the same for one code.
    #[schema(schema_with = of::text)]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(schema_with = of::problem_status)]
    pub status: u16,
    /// What happened here and what to do next.
    #[schema(schema_with = of::text)]
    pub detail: String,
    /// The code.
    #[schema(schema_with = of::code)]
    pub code: &'static str,
    /// The request's id, for a question to the operator.
    #[schema(schema_with = of::request_id)]
    pub request_id: String,
    /// What is wrong where, for `validation-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Which limits are used up, for `rate-limited` (draft-ietf-httpapi-ratelimit-headers).
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = of::violated)]
    pub violated_policies: Vec<&'static str>,
}

impl Problem {
    /// A problem of this code; `public_url` has no slash at its end.
    #[must_use]
    pub fn new(public_url: &str, code: ErrorCode, detail: String, request_id: String) -> Self {
        Self {
            kind: format!("{public_url}/problems/{code}"),
            title: code.title(),
            status: code.status(),
            detail,
            code: code.as_str(),
            request_id,
            errors: Vec::new(),
            violated_policies: Vec::new(),
        }
    }
}
