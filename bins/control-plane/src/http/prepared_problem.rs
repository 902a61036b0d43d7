//! A problem response that is the same for every request but for the request's id.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    },
};
use anyhow::Context as _;

use super::{
    credentials::NoCredential,
    headers::{X_REQUEST_ID, set},
    problem_details::ProblemDetails,
    problem_response::{PROBLEM_JSON, document},
};

/// The response to a malformed key, written ahead: nothing limits how often such requests are sent.
pub struct PreparedProblem {
    status: StatusCode,
    challenge: HeaderValue,
    before_request_id: String,
    after_request_id: String,
}

impl PreparedProblem {
    /// # Errors
    /// When the URL makes a text of it that no header or body can have.
    pub fn malformed_key(public_url: &str) -> anyhow::Result<Self> {
        let details = ProblemDetails::no_credential(NoCredential::Malformed);
        let status = StatusCode::from_u16(details.code.status())?;
        let text = serde_json::to_string(&document(&details, public_url, ""))?;
        let (before, after) = text
            .split_once(r#""request_id":""#)
            .context("a problem document has no request_id")?;
        Ok(Self {
            status,
            challenge: HeaderValue::try_from(details.challenge.unwrap_or_default())?,
            before_request_id: format!(r#"{before}"request_id":""#),
            after_request_id: after.to_owned(),
        })
    }

    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The response to one request. Its id has no character that JSON would escape.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        let headers = response.headers_mut();
        set(headers, X_REQUEST_ID, request_id);
        headers.insert(WWW_AUTHENTICATE, self.challenge.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let body = [&self.before_request_id, request_id, &self.after_request_id].concat();
        response.set_body(BoxBody::new(body))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;

    #[test]
    fn it_says_what_the_details_say() {
        let (url, id) = ("https://cp.example.com", "run-7.a_B");
        let prepared = PreparedProblem::malformed_key(url).unwrap().response(id);
        let details = ProblemDetails::no_credential(NoCredential::Malformed);
        assert_eq!(prepared.status(), details.code.status());
        let header = |name| prepared.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header(WWW_AUTHENTICATE), details.challenge.clone().unwrap());
        assert_eq!(header(CONTENT_TYPE), PROBLEM_JSON);
        assert_eq!(header(X_REQUEST_ID), id);
        let body = prepared.into_body().try_into_bytes().unwrap();
        assert_eq!(body, document(&details, url, id).to_json());
    }
}
