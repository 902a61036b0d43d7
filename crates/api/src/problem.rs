//! Problem documents, RFC 9457.

use api_macros::Response;
use serde::Serialize;

use crate::{
    ErrorCode, FieldError,
    wire::{MAX_ERRORS, NonEmpty, RequestIdText, Url, Whole},
};

/// The most bytes of a problem document.
const MAX_PROBLEM: usize = 65_536;

/// An error, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Problem")]
pub struct Problem {
    /// The URL of a page that explains the error.
    #[serde(rename = "type")]
    #[api(as = Url)]
    pub kind: String,
    /// The meaning of the code, the same in every response.
    pub title: &'static str,
    /// The HTTP status.
    #[api(as = Whole<400, 599>)]
    pub status: u16,
    /// What is wrong with this request, and what to do next.
    pub detail: String,
    /// The error code, for programs.
    #[api(as = ErrorCode)]
    pub code: &'static str,
    /// The id of the request. Name it when you report the error to the operator.
    #[api(as = RequestIdText)]
    pub request_id: String,
    /// The errors in the body, for `validation-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The rate limits that are used up, for `rate-limited` (draft-ietf-httpapi-ratelimit-headers).
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    #[api(as = NonEmpty<String>)]
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
