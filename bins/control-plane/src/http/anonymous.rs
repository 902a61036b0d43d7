//! Calls that take a body and need no credential. Whether one has an audit event is up to its handler.

use std::{future::Future, rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _, http::header::HeaderMap, web::Bytes,
};
use api::{Parameters, Query as _};
use service::{ClientAddress, Operation, RequestInfo};

use super::{
    App,
    authenticated::request_info,
    body::{self, Body},
    endpoint::ended,
    headers::{X_REQUEST_ID, set},
    labels::{method_name, route},
    problem_details::HandlerError,
    problem_response::ProblemResponse,
    request::Request,
    router::Endpoint,
};
use crate::{
    metrics::{LastResponse, ResponseLabels},
    traces::Scope,
};

/// A call of anybody, whose body is not read yet.
pub struct AnonymousRequest(Box<Request>);

impl AnonymousRequest {
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.0.app)
    }

    /// Who calls.
    pub fn client(&self) -> ClientAddress {
        self.0.client()
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    pub fn query(&self) -> &str {
        self.0.uri.query().unwrap_or_default()
    }

    /// What is recorded of the call.
    pub fn info(&self, operation: Operation) -> RequestInfo {
        request_info(&self.0, operation)
    }

    /// Reads the body, of up to so many bytes.
    pub async fn read(&mut self, max: usize) -> Body {
        let request = &mut *self.0;
        let (app, source) = (Arc::clone(&request.app), request.address_source());
        request.body.read_up_to(max, &app.pacing, || source).await
    }

    /// Reads the body, which must be JSON of up to so many bytes, and refuses a query.
    ///
    /// # Errors
    /// When there is a query, or the body is of another type, too large or cut off.
    pub async fn json(mut self, max: usize) -> Result<Bytes, HandlerError> {
        let body = self.read(max).await;
        <()>::read_all(Parameters::parse(self.query())?, false)?;
        body::acceptable(&self.0.method, &self.0.headers, body, max)
    }

    /// Reads the body and throws it away, so that the client sees a response that does not depend on it.
    pub async fn discard(self) {
        let source = self.0.address_source();
        self.0.discard(source).await;
    }
}

/// Which responses to a call without a credential are paced by the address that it comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Paced {
    All,
    Errors,
}

/// The endpoint of a call that needs no credential.
pub fn anonymous<F>(
    paced: Paced,
    handler: impl Fn(AnonymousRequest) -> F + Clone + 'static,
) -> Endpoint
where
    F: Future<Output = Result<HttpResponse, HandlerError>> + 'static,
{
    let last = Rc::new(LastResponse::default());
    Endpoint::new(move |_: HttpRequest, request: Box<Request>| {
        let began = Instant::now();
        let (handler, last) = (handler.clone(), Rc::clone(&last));
        let (method, route) = (method_name(&request.method), route(&request.path));
        let (app, id) = (Arc::clone(&request.app), Arc::clone(&request.id));
        let source = request.address_source();
        let exchange = Rc::clone(request.body.exchange());
        let path = request.uri.path().to_owned();
        let (span, trace) = app.tracer.server(&request.headers);
        let scope = Scope {
            request_id: Arc::clone(&id),
            trace,
        };
        scope.run(async move {
            let mut response = match handler(AnonymousRequest(request)).await {
                Ok(response) => response,
                Err(HandlerError::Rejected(rejection)) => {
                    ProblemResponse::rejected(&app, &id, *rejection).error_response()
                }
                Err(HandlerError::Malformed(details)) => {
                    ProblemResponse::unaudited(&app, &id, *details).error_response()
                }
            };
            set(response.headers_mut(), X_REQUEST_ID, &*id);
            let status = response.status().as_u16();
            if paced == Paced::All || status >= 400 {
                exchange.give_way(app.pacing.wait(source, 0)).await;
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
