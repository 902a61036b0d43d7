//! An answer, which can only be made of one whose event is on record.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
    },
};
use ids::{EventId, TypedId as _};
use serde::Serialize;
use service::{Audited, Context, Rendered};

use super::headers::{AUDIT_EVENT_ID, IDEMPOTENCY_REPLAYED, X_REQUEST_ID, set, set_limits};

/// What a handler gives back.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    event: EventId,
    body: Option<Vec<u8>>,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    /// An answer with a JSON body.
    ///
    /// # Errors
    /// When the body can't be written as JSON, which none of the wire types refuses.
    pub fn json<T, V: Serialize>(
        answer: Audited<T>,
        view: impl FnOnce(T) -> V,
    ) -> serde_json::Result<Self> {
        let Audited {
            value,
            status,
            event,
        } = answer;
        let body = Some(serde_json::to_vec(&view(value))?);
        Ok(Self {
            status,
            event,
            body,
            headers: Vec::new(),
        })
    }

    /// An answer with a JSON body that has been written already.
    pub fn written<T>(answer: &Audited<T>, body: Vec<u8>) -> Self {
        Self {
            status: answer.status,
            event: answer.event,
            body: Some(body),
            headers: Vec::new(),
        }
    }

    /// An answer whose body was written beside the change that it tells of.
    pub fn rendered(answer: Audited<Rendered>) -> Self {
        let Audited {
            value,
            status,
            event,
        } = answer;
        let mut headers = Vec::new();
        if let Some(location) = value.location {
            headers.push((LOCATION, location));
        }
        if value.replayed {
            headers.push((IDEMPOTENCY_REPLAYED, "true".to_owned()));
        }
        let body = Some(value.body.into_bytes());
        Self {
            status,
            event,
            body,
            headers,
        }
    }

    /// An answer without a body.
    pub fn empty<T>(answer: &Audited<T>) -> Self {
        Self {
            status: answer.status,
            event: answer.event,
            body: None,
            headers: Vec::new(),
        }
    }

    /// With one more header.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP answer to a call.
    pub fn respond(self, context: &Context) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::new(status);
        let headers = response.headers_mut();
        set(headers, X_REQUEST_ID, &*context.request.request_id);
        set(headers, AUDIT_EVENT_ID, self.event.text());
        // Answers are one credential's own, and one of them holds a secret.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        set_limits(headers, &context.limits);
        for (name, value) in self.headers {
            set(headers, name, value);
        }
        match self.body {
            Some(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response.set_body(BoxBody::new(body))
            }
            None => response,
        }
    }
}
