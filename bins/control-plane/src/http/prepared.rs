//! Refusals that need no thought.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    },
};
use anyhow::Context as _;
use api::Problem;

use super::{
    credentials::NoCredential,
    headers::{X_REQUEST_ID, set},
    problem::{Complaint, PROBLEM_JSON},
};

/// A refusal that says the same each time but for the request's id, written idempotency_key: there is no limit on
/// how often a stranger may send such a request.
pub struct PreparedRefusal {
    status: StatusCode,
    challenge: HeaderValue,
    /// What stands before the request's id.
    before: String,
    /// What stands after it.
    after: String,
}

impl PreparedRefusal {
    /// The refusal of a key that was cut short or mistyped.
    ///
    /// # Errors
    /// When the URL makes something of it that no answer can have.
    pub fn malformed_key(public_url: &str) -> anyhow::Result<Self> {
        let complaint = Complaint::credential(NoCredential::Malformed);
        let status = StatusCode::from_u16(complaint.code.status())?;
        let challenge = HeaderValue::try_from(complaint.challenge.unwrap_or_default())?;
        let problem = Problem::new(public_url, complaint.code, complaint.detail, String::new());
        let text = serde_json::to_string(&problem)?;
        let (before, after) = text
            .split_once(r#""request_id":""#)
            .context("a problem has no request_id")?;
        Ok(Self {
            status,
            challenge,
            before: format!(r#"{before}"request_id":""#),
            after: after.to_owned(),
        })
    }

    /// The answer. A request's id has no character that JSON would escape.
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        let headers = response.headers_mut();
        set(headers, X_REQUEST_ID, request_id);
        headers.insert(WWW_AUTHENTICATE, self.challenge.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let body = [&self.before, request_id, &self.after].concat();
        response.set_body(BoxBody::new(body))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;

    #[test]
    fn it_says_what_the_complaint_says() {
        let (url, id) = ("https://cp.example.com", "run-7.a_B");
        let prepared = PreparedRefusal::malformed_key(url).unwrap().respond(id);
        let complaint = Complaint::credential(NoCredential::Malformed).respond(url, id, None, &[]);
        assert_eq!(prepared.status(), complaint.status());
        let headers = |response: &HttpResponse| {
            let all = response.headers().iter();
            let mut all: Vec<_> = all
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            all.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
            all
        };
        assert_eq!(headers(&prepared), headers(&complaint));
        let body = |response: HttpResponse| response.into_body().try_into_bytes().unwrap();
        assert_eq!(body(prepared), body(complaint));
    }
}
