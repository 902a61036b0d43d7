//! The one door to every handler: nobody gets past it without a known credential and a limit that
//! holds, and whatever comes out has its event on record.

use std::{
    future::Future,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    http::{Method, Uri, header::HeaderMap},
    web::Bytes,
};
use api::{BodyError, EmptyBody, ErrorCode, Query, Request as _};
use ids::{KeyId, OrgId, RequestId, TypedId};
use ratelimit::Decision;
use service::{
    Context, Credentials, Error, IdempotencyKey, LimitName, Operation, RequestInfo, operations,
};

use super::{
    App, ControlPlane, Failure, Reply,
    address::client_address,
    body::{self, Body},
    connection::Exchange,
    credentials::{NoCredential, bearer},
    headers::{X_REQUEST_ID, idempotency, preferred_wait, request_id, set, user_agent},
    problem::Complaint,
    recorded::{is_an_id, method_name, route},
    router::{Arrival, Endpoint, Place},
};
use crate::metrics::{Answered, LastAnswer};

/// A request that has passed the door.
pub struct Http {
    /// The call and who makes it.
    pub context: Arc<Context>,
    app: Arc<App>,
    uri: Uri,
    wait: Option<Duration>,
    place: Place,
    body: Bytes,
    exchange: Rc<Exchange>,
}

impl Http {
    /// The use cases.
    pub fn service(&self) -> &ControlPlane {
        &self.app.service
    }

    /// The page that customers log in on.
    pub fn login_url(&self) -> &str {
        &self.app.login_url
    }

    /// The id that the path names.
    pub fn id<I: TypedId>(&self) -> Result<I, Failure> {
        path_id(&self.place).ok_or(Failure::from(Complaint::no_route()))
    }

    /// Another id that the path names.
    pub fn named_id<I: TypedId>(&self, name: &str) -> Result<I, Failure> {
        let id = self.place.param(name).and_then(|text| text.parse().ok());
        id.ok_or(Failure::from(Complaint::no_route()))
    }

    /// For how long the client would wait for a better answer.
    pub const fn preferred_wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Waits until the client has closed its side: it is gone, or sends nothing more and waits.
    pub async fn client_end(&self) {
        self.exchange.input_end().await;
    }

    /// The body, as `read` takes it.
    pub fn json<T>(&self, read: impl FnOnce(&[u8]) -> Result<T, BodyError>) -> Result<T, Failure> {
        self.no_query()?;
        Ok(read(&self.body)?)
    }

    /// Sees that there is no body, or an empty object, and no query.
    pub fn no_body(&self) -> Result<(), Failure> {
        self.no_query()?;
        if self.body.is_empty() {
            return Ok(());
        }
        EmptyBody::from_body(&self.body, &())?;
        Ok(())
    }

    /// The query.
    pub fn query(&self) -> Result<Query, Failure> {
        Ok(Query::parse(self.uri.query().unwrap_or_default())?)
    }

    /// Sees that there is no query.
    pub fn no_query(&self) -> Result<(), Failure> {
        Ok(self.query()?.finish()?)
    }
}

fn path_id<I: TypedId>(place: &Place) -> Option<I> {
    place.param("id")?.parse().ok()
}

/// Where a request goes that fits no route, or no method of its route.
pub fn unrouted(allowed: Vec<&'static str>) -> Endpoint {
    let allowed: Rc<[_]> = allowed.into();
    entry(operations::UNROUTED, move |_| {
        let allowed = Rc::clone(&allowed);
        async move {
            Err(Failure::from(match &*allowed {
                [] => Complaint::no_route(),
                allowed => Complaint::method(allowed),
            }))
        }
    })
}

/// Where requests for one operation go.
pub fn entry<H, F>(operation: Operation, handler: H) -> Endpoint
where
    H: Fn(Http) -> F + Clone + 'static,
    F: Future<Output = Result<Reply, Failure>> + 'static,
{
    let last = Rc::new(LastAnswer::default());
    Endpoint::new(move |arrival: Arrival| {
        let began = Instant::now();
        let app = Arc::clone(&arrival.app);
        let last = Rc::clone(&last);
        let (method, route) = (method_name(&arrival.method), route(&arrival.place));
        let id = id_of_request(&arrival.headers, &app);
        let handler = handler.clone();
        // In boxes of their own, the steps take room only while they last: a call that is held keeps what
        // its answer needs, and nothing of the request or of the steps before.
        let entering = Box::pin(enter(arrival, operation, Arc::clone(&id)));
        async move {
            let response = match entering.await {
                Ok(http) => {
                    let context = Arc::clone(&http.context);
                    match Box::pin(handler(http)).await {
                        Ok(reply) => reply.respond(&context),
                        Err(failure) => Box::pin(reject(&app, &context, failure)).await,
                    }
                }
                Err(response) => response,
            };
            let status = response.status().as_u16();
            let answered = Answered {
                method,
                route,
                status,
            };
            app.metrics.answered(&last, answered, began.elapsed());
            tracing::debug!(
                request_id = &*id,
                method,
                route,
                status,
                took_us = began.elapsed().as_micros(),
                "answered"
            );
            response
        }
    })
}

/// A route that asks for no credential and leaves no event.
pub fn open<H, F>(handler: H) -> Endpoint
where
    H: Fn(Arc<App>, Arc<str>) -> F + 'static,
    F: Future<Output = HttpResponse> + 'static,
{
    Endpoint::new(move |Arrival { headers, app, .. }| {
        let id = id_of_request(&headers, &app);
        let response = handler(app, Arc::clone(&id));
        async move {
            let mut response = response.await;
            set(response.headers_mut(), X_REQUEST_ID, &*id);
            response
        }
    })
}

/// Where a request goes that is not the API's.
pub fn outside(allowed: Vec<&'static str>) -> Endpoint {
    let allowed: Rc<[_]> = allowed.into();
    Endpoint::new(move |arrival: Arrival| {
        let allowed = Rc::clone(&allowed);
        async move {
            let Arrival {
                headers, body, app, ..
            } = arrival;
            let id = id_of_request(&headers, &app);
            drop(headers);
            body.drain().await;
            let complaint = match &*allowed {
                [] => Complaint::new(
                    ErrorCode::NotFound,
                    "there is nothing here; the API is under /cp",
                ),
                allowed => Complaint::method(allowed),
            };
            complaint.respond(&app.public_url, &id, None, &[])
        }
    })
}

/// What is known of a request before anything is done about it.
fn request_info(arrival: &Arrival, operation: Operation, request_id: Arc<str>) -> RequestInfo {
    let (app, headers, place) = (&arrival.app, &arrival.headers, &arrival.place);
    RequestInfo {
        at: app.service.env().now(),
        request_id,
        method: method_name(&arrival.method),
        route: route(place),
        operation,
        subject: place.param("id").filter(|id| is_an_id(id)).map(Arc::from),
        org_id: path_id::<OrgId>(place),
        client: client_address(arrival.peer, headers, &app.trusted_proxies),
        user_agent: user_agent(headers),
    }
}

/// From a request to a call that may be carried out, or to the answer that refuses it.
async fn enter(arrival: Arrival, operation: Operation, id: Arc<str>) -> Result<Http, HttpResponse> {
    let key = match bearer(&arrival.headers, arrival.uri.query().unwrap_or_default()) {
        Ok(key) => key,
        Err(error) => {
            let Arrival {
                headers, body, app, ..
            } = arrival;
            // They keep the buffer that they were read into.
            drop(headers);
            app.metrics.unknown_credentials.inc();
            body.drain().await;
            return Err(match error {
                NoCredential::Malformed => app.malformed_key.respond(&id),
                NoCredential::Missing | NoCredential::Misplaced(_) => {
                    Complaint::credential(error).respond(&app.public_url, &id, None, &[])
                }
            });
        }
    };
    let request = request_info(&arrival, operation, Arc::clone(&id));
    let Arrival {
        method,
        uri,
        headers,
        body,
        app,
        place,
        ..
    } = arrival;
    let exchange = Rc::clone(body.exchange());
    // A query makes it ill formed, and ill-formed calls are limited.
    let is_plain = uri.query().unwrap_or_default().is_empty();
    let revokes = (request.operation == operations::KEY_REVOKE && is_plain)
        .then(|| path_id::<KeyId>(&place))
        .flatten();
    let admitted = Box::pin(
        app.service
            .authenticate(request, Credentials { key, revokes }),
    );
    let mut context = match admitted.await {
        Ok(context) => context,
        Err(refusal) => {
            drop(headers);
            body.drain().await;
            if let Error::InvalidKey = refusal.error {
                app.metrics.unknown_credentials.inc();
            }
            count_refusal(&app, &refusal.error);
            let complaint = Complaint::of_error(&refusal.error);
            return Err(complaint.respond(&app.public_url, &id, refusal.event, &refusal.limits));
        }
    };
    let body = body.read().await;
    if !matches!(body, Body::Whole(_))
        && let Err(refusal) = app.service.charge_limits(&mut context).await
    {
        return Err(Box::pin(reject(&app, &context, refusal.into())).await);
    }
    let request = (&method, &uri, &headers);
    let body = match Box::pin(take_in(&app, request, &mut context, body)).await {
        Ok(body) => body,
        Err(failure) => return Err(Box::pin(reject(&app, &context, failure)).await),
    };
    Ok(Http {
        context: Arc::new(context),
        app,
        uri,
        wait: preferred_wait(&headers),
        place,
        body,
        exchange,
    })
}

/// Sees that the caller may ask for this and that what it sent can be taken; gives the body.
async fn take_in(
    app: &App,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    context: &mut Context,
    body: Body,
) -> Result<Bytes, Failure> {
    // A route that is not there is said so before anything is asked of the caller or the body.
    if context.request.operation == operations::UNROUTED {
        return Ok(Bytes::new());
    }
    app.service.authorize(context).await?;
    let whole = acceptable(method, headers, body)?;
    context.idempotency_key = once(method, uri, headers, &whole)?;
    Ok(whole)
}

/// What makes a POST the same as an earlier one, when its client says that it may be one.
fn once(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<IdempotencyKey>, Failure> {
    if method != Method::POST {
        return Ok(None);
    }
    let key = idempotency(headers).map_err(|error| {
        Failure::from(Complaint::new(ErrorCode::InvalidRequest, error.to_string()))
    })?;
    Ok(key.map(|key| IdempotencyKey::new(method.as_str(), uri.path(), &key, body)))
}

fn acceptable(method: &Method, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let complain = |code, detail: &str| Err(Failure::from(Complaint::new(code, detail)));
    if let Err(code) = body::check_type(method, headers) {
        return complain(
            code,
            "send JSON with Content-Type: application/json, or no Content-Type at all (curl -d adds \
             one of its own; use --json)",
        );
    }
    match body {
        Body::Whole(bytes) => Ok(bytes),
        Body::TooLarge => complain(ErrorCode::PayloadTooLarge, "a body has at most 64 KiB"),
        Body::Broken => complain(
            ErrorCode::InvalidRequest,
            "the body broke off, is not framed as its headers say, or did not come in time; send the \
             request again",
        ),
    }
}

async fn reject(app: &App, context: &Context, failure: Failure) -> HttpResponse {
    let respond = |complaint: Complaint, event, limits: &[(LimitName, Decision)]| {
        complaint.respond(&app.public_url, &context.request.request_id, event, limits)
    };
    match failure {
        Failure::Refused(refusal) => {
            count_refusal(app, &refusal.error);
            respond(
                Complaint::of_error(&refusal.error),
                refusal.event,
                &refusal.limits,
            )
        }
        Failure::Form(complaint) => match app.service.reject_as(context, complaint.code).await {
            Ok(event) => respond(*complaint, Some(event), &context.limits),
            Err(fault) => respond(
                Complaint::of_error(&Error::Store(fault)),
                None,
                &context.limits,
            ),
        },
    }
}

/// Counts a refusal by limits.
fn count_refusal(app: &App, error: &Error) {
    if let Error::RateLimited { limits, .. } = error {
        for limit in limits {
            app.metrics.rate_limited(limit.as_str());
        }
    }
}

/// The id of a request, the client's own or ours.
fn id_of_request(headers: &HeaderMap, app: &App) -> Arc<str> {
    request_id(headers).unwrap_or_else(|| app.service.env().id::<RequestId>().text().into())
}
