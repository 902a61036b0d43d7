//! The response to a call, which can only be made from an audited result.

use std::sync::Arc;

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
    },
};
use ids::{EventId, TypedId as _};
use serde::Serialize;
use service::{Audited, Context, Rendered};

use super::headers::{
    AUDIT_EVENT_ID, IDEMPOTENCY_REPLAYED, X_REQUEST_ID, set, set_deprecation, set_limits,
};

/// What a handler returns. Its audit event is durable, for use cases give no [`Audited`] before.
#[derive(Debug)]
pub struct AuditedResponse {
    status: u16,
    event: EventId,
    body: Option<Vec<u8>>,
    headers: Vec<(HeaderName, String)>,
}

impl AuditedResponse {
    fn new<T>(result: &Audited<T>, body: Option<Vec<u8>>) -> Self {
        Self {
            status: result.status,
            event: result.event,
            body,
            headers: Vec::new(),
        }
    }

    /// A response with a JSON body.
    ///
    /// # Errors
    /// When the body can't be written as JSON, which no type of the API refuses.
    pub fn json<T, V: Serialize>(
        result: Audited<T>,
        view: impl FnOnce(T) -> V,
    ) -> serde_json::Result<Self> {
        let mut response = Self::new(&result, None);
        response.body = Some(serde_json::to_vec(&view(result.value))?);
        Ok(response)
    }

    /// A response with a JSON body that was serialized before.
    pub fn serialized<T>(result: &Audited<T>, body: Vec<u8>) -> Self {
        Self::new(result, Some(body))
    }

    /// A response whose body was serialized in the transaction of its change.
    pub fn rendered(result: Audited<Rendered>) -> Self {
        let mut response = Self::new(&result, None);
        let rendered = result.value;
        if let Some(location) = rendered.location {
            response.headers.push((LOCATION, location));
        }
        if rendered.replayed {
            let replayed = "true".to_owned();
            response.headers.push((IDEMPOTENCY_REPLAYED, replayed));
        }
        response.body = Some(rendered.body.into_bytes());
        response
    }

    pub fn empty<T>(result: &Audited<T>) -> Self {
        Self::new(result, None)
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Responder for AuditedResponse {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::new(status);
        let headers = response.headers_mut();
        // The extractor of the call has put it there.
        if let Some(context) = request.extensions().get::<Arc<Context>>() {
            set(headers, X_REQUEST_ID, &*context.request.request_id);
            set_limits(headers, &context.limits);
            set_deprecation(headers, context.deprecation());
        }
        set(headers, AUDIT_EVENT_ID, self.event.text());
        // A response is for one credential alone, and some hold a secret.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
