//! Calls that take a body, need no credential and have no audit event. A credential that comes with one is not
//! looked at.

use std::{future::Future, rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::{
        Method,
        header::{CONTENT_LENGTH, HeaderMap},
    },
    web::Bytes,
};
use api::{Parameters, Query as _, QueryError};
use service::ClientAddress;

use super::{
    App, Endpoint, ProblemResponse,
    body::{self, RequestBody},
    headers::{X_REQUEST_ID, set},
    labels::{method_name, route},
    problem_details::HandlerError,
    request::Request,
};
use crate::{
    metrics::{LastResponse, ResponseLabels},
    traces::Scope,
};

/// A call of anybody, whose body is not read yet.
pub struct UnauditedRequest {
    pub app: Arc<App>,
    /// Who calls.
    pub client: ClientAddress,
    pub headers: HeaderMap,
    method: Method,
    query: String,
    body: RequestBody,
}

impl UnauditedRequest {
    /// Reads the body, which must be JSON of up to so many bytes, and refuses a query.
    ///
    /// # Errors
    /// When there is a query, or the body is of another type, too large or cut off.
    pub async fn body(self, max: usize) -> Result<(Arc<App>, Bytes), HandlerError> {
        let Self {
            app,
            headers,
            method,
            query,
            body,
            ..
        } = self;
        let body = body.read_up_to(max).await;
        no_query(&query)?;
        body::acceptable(&method, &headers, body, max).map(|bytes| (app, bytes))
    }

    /// Reads the body and throws it away, so that the client sees a response that does not depend on it.
    pub async fn discard(self) -> Arc<App> {
        self.body.drain().await;
        self.app
    }
}

fn no_query(query: &str) -> Result<(), QueryError> {
    <()>::read_all(Parameters::parse(query)?, false)
}

/// How long the body is, as the client says; a body in chunks says nothing.
fn body_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    length.unwrap_or_default()
}

/// The endpoint of a call that needs no credential and has no audit event.
pub fn unaudited<F>(handler: impl Fn(UnauditedRequest) -> F + Clone + 'static) -> Endpoint
where
    F: Future<Output = Result<HttpResponse, HandlerError>> + 'static,
{
    let last = Rc::new(LastResponse::default());
    Endpoint::new(move |_: HttpRequest, request: Box<Request>| {
        let began = Instant::now();
        let (handler, last) = (handler.clone(), Rc::clone(&last));
        let (method, route) = (method_name(&request.method), route(&request.path));
        let source = request.address_source();
        let bytes = body_bytes(&request.headers);
        let (app, id) = (Arc::clone(&request.app), Arc::clone(&request.id));
        let (_, trace) = app.tracer.server(&request.headers);
        let scope = Scope {
            request_id: Arc::clone(&id),
            trace,
        };
        scope.run(async move {
            let client = request.client();
            let Request {
                app,
                id,
                method: called,
                uri,
                headers,
                body,
                ..
            } = *request;
            let request = UnauditedRequest {
                app: Arc::clone(&app),
                client,
                headers,
                method: called,
                query: uri.query().unwrap_or_default().to_owned(),
                body,
            };
            let mut response = match handler(request).await {
                Ok(response) => response,
                Err(HandlerError::Rejected(rejection)) => {
                    ProblemResponse::rejected(&app, &id, *rejection).error_response()
                }
                Err(HandlerError::Malformed(details)) => {
                    ProblemResponse::unaudited(&app, &id, *details).error_response()
                }
            };
            set(response.headers_mut(), X_REQUEST_ID, &*id);
            let labels = ResponseLabels {
                method,
                route,
                status: response.status().as_u16(),
            };
            app.pacing.wait(source, bytes).await;
            app.metrics.http.answered(&last, labels, began.elapsed());
            response
        })
    })
}
