//! Calls that take a body, need no credential and have an audit event once they are about something known.

use std::{future::Future, rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody as _},
    http::header::{AUTHORIZATION, HeaderMap},
};
use service::{Operation, RequestInfo};

use super::{
    App,
    authenticated::request_info,
    body::Body,
    endpoint::ended,
    headers::{X_REQUEST_ID, set},
    labels::{method_name, route},
    request::Request,
    router::Endpoint,
};
use crate::{
    metrics::{LastResponse, ResponseLabels},
    traces::Scope,
};

/// A call without a credential. Its body was read.
pub struct AnonymousRequest {
    pub app: Arc<App>,
    /// What is recorded of it.
    pub info: RequestInfo,
    pub headers: HeaderMap,
    pub query: String,
    pub body: Body,
}

impl AnonymousRequest {
    /// Whether it has a credential all the same.
    pub fn has_credential(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }
}

/// The endpoint of an operation that needs no credential. Answers that are errors are paced by their sender's address.
pub fn anonymous<H, F>(operation: Operation, handler: H) -> Endpoint
where
    H: Fn(AnonymousRequest) -> F + Clone + 'static,
    F: Future<Output = HttpResponse> + 'static,
{
    let last = Rc::new(LastResponse::default());
    Endpoint::new(move |_: HttpRequest, request: Box<Request>| {
        let began = Instant::now();
        let (app, id) = (Arc::clone(&request.app), Arc::clone(&request.id));
        let last = Rc::clone(&last);
        let (method, route) = (method_name(&request.method), route(&request.path));
        let (span, trace) = app.tracer.server(&request.headers);
        let scope = Scope {
            request_id: Arc::clone(&id),
            trace,
        };
        let path = request.uri.path().to_owned();
        let handler = handler.clone();
        scope.run(async move {
            let info = request_info(&request, operation);
            let source = request.address_source();
            let Request {
                headers, uri, body, ..
            } = *request;
            let request = AnonymousRequest {
                app: Arc::clone(&app),
                info,
                headers,
                query: uri.query().unwrap_or_default().to_owned(),
                body: body.read().await,
            };
            let mut response = handler(request).await;
            set(response.headers_mut(), X_REQUEST_ID, &*id);
            let status = response.status().as_u16();
            if status >= 400 {
                let bytes = match response.body().size() {
                    BodySize::Sized(bytes) => bytes,
                    BodySize::None | BodySize::Stream => 0,
                };
                app.pacing.wait(source, bytes).await;
            }
            let labels = ResponseLabels {
                method,
                route,
                status,
            };
            app.metrics.http.answered(&last, labels, began.elapsed());
            if let Some(span) = span {
                span.end(|| ended(labels, &id, path));
            }
            response
        })
    })
}
