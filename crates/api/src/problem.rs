//! Problem documents, RFC 9457.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{ErrorCode, FieldError, fields::MAX_ERRORS, openapi::forms::of};

/// How many bytes a problem has at the most.
const MAX_PROBLEM: usize = 65_536;

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

    /// The problem as JSON, 64 KiB at the most: errors that don't fit are left out, the last
    /// ones first. Escaped characters can make six bytes of one, so the size is known only now.
    #[must_use]
    pub fn to_json(mut self) -> Vec<u8> {
        self.errors.truncate(MAX_ERRORS);
        loop {
            // A problem has nothing that JSON can't say.
            let body = serde_json::to_vec(&self).unwrap_or_default();
            if body.len() <= MAX_PROBLEM || self.errors.is_empty() {
                return body;
            }
            // Halving keeps the number of tries small; what is left still tells where to begin.
            self.errors.truncate(self.errors.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_bounded_whatever_its_errors_say() {
        let code = ErrorCode::ValidationFailed;
        let mut problem = Problem::new("http://cp", code, "fix it".to_owned(), "r".to_owned());
        problem.errors = vec![FieldError::new("/\u{1}".repeat(500), "wrong"); 60];
        let body = problem.to_json();
        assert!(body.len() <= MAX_PROBLEM, "{}", body.len());
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let errors = body["errors"].as_array().unwrap().len();
        assert!((1..=MAX_ERRORS).contains(&errors), "{errors}");
    }
}
