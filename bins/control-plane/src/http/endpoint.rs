//! Endpoints: handlers with what the routing table knows of them.

use std::{
    future::{Future, Ready, ready},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use actix_web::{
    FromRequest, Handler, HttpMessage as _, HttpRequest, HttpResponse, Responder,
    ResponseError as _,
    body::{BodySize, MessageBody as _},
    dev::Payload,
    error::ErrorInternalServerError,
    http::header::{ACCEPT, HeaderValue},
};
use api::ErrorCode;
use service::{Operation, operations};

use super::{
    App,
    audited_response::AuditedResponse,
    authenticated::{AuthenticatedRequest, Unauthenticated},
    headers::{X_REQUEST_ID, set},
    labels::{method_name, route},
    problem_details::{HandlerError, ProblemDetails},
    problem_response::ProblemResponse,
    request::Request,
    router::Endpoint,
};
use crate::{
    metrics::{LastResponse, ResponseLabels},
    traces::{Ended, Scope},
};

/// The endpoint of an operation. Its handler names the [`AuthenticatedRequest`], or this does not compile.
pub fn authenticated<H, F>(operation: Operation, handler: H) -> Endpoint
where
    H: Handler<(AuthenticatedRequest,), Output = Result<AuditedResponse, HandlerError>, Future = F>,
    F: Future<Output = Result<AuditedResponse, HandlerError>> + 'static,
{
    let last = Rc::new(LastResponse::default());
    Endpoint::new(move |http: HttpRequest, request: Box<Request>| {
        let began = Instant::now();
        let app = Arc::clone(&request.app);
        let id = Arc::clone(&request.id);
        let last = Rc::clone(&last);
        let (method, route) = (method_name(&request.method), route(&request.path));
        let (span, trace) = app.tracer.server(&request.headers);
        let scope = Scope {
            request_id: Arc::clone(&id),
            trace,
        };
        // In a box, for a call that is held keeps it.
        let span = span.map(|span| Box::new((span, request.uri.path().to_owned())));
        let handler = handler.clone();
        http.extensions_mut()
            .insert(Unauthenticated { request, operation });
        scope.run(async move {
            let extracted = AuthenticatedRequest::from_request(&http, &mut Payload::None).await;
            let response = match extracted {
                Ok(request) => {
                    let context = Arc::clone(&request.context);
                    http.extensions_mut().insert(Arc::clone(&context));
                    // In boxes of their own, the steps take memory only while they last: a call that is
                    // held keeps what its response needs, and nothing of the steps before.
                    match Box::pin(handler.call((request,))).await {
                        Ok(response) => response.respond_to(&http),
                        Err(error) => {
                            let refusing = ProblemResponse::audit(&app, &context, error);
                            Box::pin(refusing).await.error_response()
                        }
                    }
                }
                Err(problem) => problem.error_response(),
            };
            let status = response.status().as_u16();
            let labels = ResponseLabels {
                method,
                route,
                status,
            };
            app.metrics.http.answered(&last, labels, began.elapsed());
            if let Some(span) = span {
                let (span, path) = *span;
                span.end(|| ended(labels, &id, path));
            }
            tracing::debug!(
                method,
                route,
                status,
                took_us = began.elapsed().as_micros(),
                "answered"
            );
            response
        })
    })
}

/// A request by OpenTelemetry's conventions for HTTP servers.
pub(super) fn ended(labels: ResponseLabels, request_id: &str, path: String) -> Ended {
    let ResponseLabels {
        method,
        route,
        status,
    } = labels;
    Ended {
        name: format!("{method} {route}"),
        texts: vec![
            ("http.request.method", method.to_owned()),
            ("http.route", route.to_owned()),
            ("url.path", path),
            ("molecule.request_id", request_id.to_owned()),
        ],
        numbers: vec![("http.response.status_code", status.into())],
        failed: status >= 500,
    }
}

/// A request of a path that needs no credential.
#[derive(Clone)]
pub struct PublicRequest {
    pub app: Arc<App>,
    /// The request's id.
    pub id: Arc<str>,
}

impl FromRequest for PublicRequest {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let public = http.extensions().get::<Self>().cloned();
        ready(public.ok_or_else(|| ErrorInternalServerError("this path needs a credential")))
    }
}

/// The endpoint of a path that needs no credential and has no audit event.
pub fn public<H, Args>(handler: H) -> Endpoint
where
    H: Handler<Args>,
    Args: FromRequest,
    H::Output: Responder,
{
    Endpoint::new(move |http: HttpRequest, request: Box<Request>| {
        let handler = handler.clone();
        let source = request.public_source();
        let exchange = Rc::clone(request.body.exchange());
        let Request { app, id, .. } = *request;
        let public = PublicRequest {
            app: Arc::clone(&app),
            id: Arc::clone(&id),
        };
        http.extensions_mut().insert(public);
        async move {
            // It waits first: what is answered is to be true when it goes out.
            exchange.give_way(app.pacing.wait(source, 0)).await;
            let mut response = match Args::from_request(&http, &mut Payload::None).await {
                Ok(args) => handler
                    .call(args)
                    .await
                    .respond_to(&http)
                    .map_into_boxed_body(),
                Err(error) => HttpResponse::from_error(error),
            };
            set(response.headers_mut(), X_REQUEST_ID, &*id);
            let bytes = match response.body().size() {
                BodySize::Sized(bytes) => bytes,
                BodySize::None | BodySize::Stream => 0,
            };
            exchange
                .give_way(app.pacing.wait_for_long_answer(source, bytes))
                .await;
            response
        }
    })
}

/// The endpoint of a path that is a page for browsers, and `other` for all others.
pub fn for_browsers(
    page: impl Fn() -> HttpResponse + Clone + 'static,
    other: Endpoint,
) -> Endpoint {
    let page = public(move || ready(page()));
    Endpoint::new(move |http: HttpRequest, request: Box<Request>| {
        let accept = request.headers.get(ACCEPT).map(HeaderValue::as_bytes);
        // Browsers name it as it is written here.
        let wants_page =
            accept.is_some_and(|accept| memchr::memmem::find(accept, b"text/html").is_some());
        let endpoint = if wants_page { &page } else { &other };
        endpoint.respond(http, request)
    })
}

/// The endpoint of unknown paths below `/cp`, or of methods that a path does not have: 401 without a
/// credential, then 404 or 405.
pub fn not_found(allowed: Vec<&'static str>) -> Endpoint {
    let allowed: Rc<[_]> = allowed.into();
    authenticated(operations::UNROUTED, move |_: AuthenticatedRequest| {
        let allowed = Rc::clone(&allowed);
        async move {
            Err(HandlerError::from(match &*allowed {
                [] => ProblemDetails::not_found(),
                allowed => ProblemDetails::method_not_allowed(allowed),
            }))
        }
    })
}

/// The endpoint of unknown paths and methods outside of the API, which need no credential.
pub fn fallback(allowed: Vec<&'static str>) -> Endpoint {
    let allowed: Rc<[_]> = allowed.into();
    Endpoint::new(move |_, request: Box<Request>| {
        let allowed = Rc::clone(&allowed);
        async move {
            let (app, id) = (Arc::clone(&request.app), Arc::clone(&request.id));
            let source = request.address_source();
            request.discard(source).await;
            let details = match &*allowed {
                [] => ProblemDetails::new(
                    ErrorCode::NotFound,
                    "No such page. The API is under /cp, its description at /cp/docs.",
                ),
                allowed => ProblemDetails::method_not_allowed(allowed),
            };
            ProblemResponse::unaudited(&app, &id, details).error_response()
        }
    })
}
