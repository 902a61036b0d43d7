//! The one door to every handler: nobody gets past it without a known credential and a limit that
//! holds, and whatever comes out has its event on record.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Bytes, Payload},
};
use api::{BodyError, ErrorCode, Query};
use ids::{KeyId, OrgId, RequestId, TypedId};
use keys::PlainKey;
use ratelimit::Decision;
use service::{Call, Context, Error, LimitName, Once, Operation, Presented, operations};

use super::{
    App, ControlPlane, Failure, Reply,
    address::client_address,
    body::{self, Body},
    credentials::bearer,
    headers::{idempotency, preferred_wait, request_id, user_agent},
    problem::Complaint,
    router::{Arrival, Endpoint, Place},
};

/// A request that has passed the door.
pub struct Http {
    /// The call and who makes it.
    pub context: Arc<Context>,
    app: Arc<App>,
    request: HttpRequest,
    place: Place,
    body: Bytes,
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
    pub fn preferred_wait(&self) -> Option<Duration> {
        preferred_wait(self.request.headers())
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
        Ok(api::Fields::of_body(&self.body)?
            .build(|| Some(()))
            .map_err(BodyError::Invalid)?)
    }

    /// The query.
    pub fn query(&self) -> Query {
        let pairs = form_urlencoded::parse(self.request.query_string().as_bytes());
        Query::new(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// Sees that there is no query.
    pub fn no_query(&self) -> Result<(), Failure> {
        Ok(self.query().finish()?)
    }
}

fn path_id<I: TypedId>(place: &Place) -> Option<I> {
    place.param("id")?.parse().ok()
}

/// Where a request goes that fits no route, or no method of its route.
pub fn unrouted(allowed: &'static [&'static str]) -> Endpoint {
    entry(operations::UNROUTED, move |_| async move {
        Err(Failure::from(match allowed {
            [] => Complaint::no_route(),
            allowed => Complaint::method(allowed),
        }))
    })
}

/// Where requests for one operation go.
pub fn entry<H, F>(operation: Operation, handler: H) -> Endpoint
where
    H: Fn(Http) -> F + Clone + 'static,
    F: Future<Output = Result<Reply, Failure>> + 'static,
{
    Endpoint::new(move |arrival: Arrival| {
        let handler = handler.clone();
        let (visit, payload) = Visit::new(arrival, operation);
        visit.answer(payload, handler)
    })
}

/// A route that asks for no credential and leaves no event.
pub fn open<H, F>(handler: H) -> Endpoint
where
    H: Fn(Arc<App>, String) -> F + 'static,
    F: Future<Output = HttpResponse> + 'static,
{
    Endpoint::new(move |Arrival { request, app, .. }| {
        let id = request_id(request.headers())
            .unwrap_or_else(|| app.service.world().id::<RequestId>().text());
        let response = handler(app, id.clone());
        async move {
            let mut response = response.await;
            if let Ok(value) = id.parse() {
                response
                    .headers_mut()
                    .insert(super::headers::X_REQUEST_ID, value);
            }
            response
        }
    })
}

/// Where a request goes that is not the API's.
pub fn outside(allowed: &'static [&'static str]) -> Endpoint {
    Endpoint::new(move |arrival: Arrival| async move {
        let Arrival {
            request,
            payload,
            app,
            ..
        } = arrival;
        body::drain(payload).await;
        let id = request_id(request.headers())
            .unwrap_or_else(|| app.service.world().id::<RequestId>().text());
        let complaint = match allowed {
            [] => Complaint::new(
                ErrorCode::NotFound,
                "there is nothing here; the API is under /cp",
            ),
            allowed => Complaint::method(allowed),
        };
        complaint.respond(&app.public_url, &id, None, &[])
    })
}

/// One request on its way.
struct Visit {
    request: HttpRequest,
    app: Arc<App>,
    place: Place,
    call: Call,
    began: Instant,
}

impl Visit {
    fn new(arrival: Arrival, operation: Operation) -> (Self, Payload) {
        let Arrival {
            request,
            payload,
            app,
            place,
        } = arrival;
        let headers = request.headers();
        let world = app.service.world();
        let call = Call {
            at: world.now(),
            request_id: request_id(headers).unwrap_or_else(|| world.id::<RequestId>().text()),
            method: method_name(request.method()),
            route: place.pattern.unwrap_or("unrouted"),
            operation,
            subject: place
                .param("id")
                .filter(|id| is_an_id(id))
                .map(str::to_owned),
            org_id: path_id::<OrgId>(&place),
            ip: client_address(request.peer_addr(), headers, &app.trusted_proxies),
            user_agent: user_agent(headers),
        };
        let visit = Self {
            request,
            app,
            place,
            call,
            began: Instant::now(),
        };
        (visit, payload)
    }

    async fn answer<H, F>(self, payload: Payload, handler: H) -> HttpResponse
    where
        H: Fn(Http) -> F,
        F: Future<Output = Result<Reply, Failure>>,
    {
        let Self {
            request,
            app,
            place,
            call,
            began,
        } = self;
        let (method, route, id) = (call.method, call.route, call.request_id.clone());
        let response = match bearer(request.headers(), request.query_string()) {
            Err(error) => {
                app.metrics.unknown_credentials.inc();
                body::drain(payload).await;
                Complaint::credential(error).respond(&app.public_url, &id, None, &[])
            }
            // In boxes of their own, the steps take room only while they last: a call that is held has
            // its own few kilobytes, and not those of all that came before.
            Ok(key) => Box::pin(pass(&app, (request, place), call, key, payload, handler)).await,
        };
        app.metrics
            .answered(method, route, response.status().as_u16(), began.elapsed());
        tracing::debug!(
            request_id = id,
            method,
            route,
            status = response.status().as_u16(),
            took_us = began.elapsed().as_micros(),
            "answered"
        );
        response
    }
}

/// From a well-formed token to the answer.
async fn pass<H, F>(
    app: &Arc<App>,
    (request, place): (HttpRequest, Place),
    call: Call,
    key: PlainKey,
    payload: Payload,
    handler: H,
) -> HttpResponse
where
    H: Fn(Http) -> F,
    F: Future<Output = Result<Reply, Failure>>,
{
    let revokes = (call.operation == operations::KEY_REVOKE)
        .then(|| path_id::<KeyId>(&place))
        .flatten();
    let id = call.request_id.clone();
    let admitted = Box::pin(app.service.admit(call, Presented { key, revokes }));
    let context = match admitted.await {
        Ok(context) => context,
        Err(refusal) => {
            body::drain(payload).await;
            if let Error::InvalidKey = refusal.error {
                app.metrics.unknown_credentials.inc();
            }
            if let Error::RateLimited { limit, .. } = refusal.error {
                app.metrics.rate_limited(limit.as_str());
            }
            let complaint = Complaint::of_error(&refusal.error);
            return complaint.respond(&app.public_url, &id, refusal.event, &refusal.limits);
        }
    };
    let body = body::read(payload).await;
    let mut context = context;
    let body = match Box::pin(take_in(app, &request, &mut context, body)).await {
        Ok(body) => body,
        Err(failure) => return Box::pin(refuse(app, &context, failure)).await,
    };
    let context = Arc::new(context);
    let http = Http {
        context: Arc::clone(&context),
        app: Arc::clone(app),
        request,
        place,
        body,
    };
    match Box::pin(handler(http)).await {
        Ok(reply) => reply.respond(&context),
        Err(failure) => Box::pin(refuse(app, &context, failure)).await,
    }
}

/// Sees that the caller may ask for this and that what it sent can be taken; gives the body.
async fn take_in(
    app: &App,
    request: &HttpRequest,
    context: &mut Context,
    body: Body,
) -> Result<Bytes, Failure> {
    // A route that is not there is said so before anything is asked of the caller or the body.
    if context.call.operation == operations::UNROUTED {
        return Ok(Bytes::new());
    }
    app.service.authorize(context).await?;
    let whole = acceptable(request, body)?;
    context.once = once(request, &whole)?;
    Ok(whole)
}

/// What makes a POST the same as an earlier one, when its client says that it may be one.
fn once(request: &HttpRequest, body: &[u8]) -> Result<Option<Once>, Failure> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    let key = idempotency(request.headers()).map_err(|error| {
        Failure::from(Complaint::new(ErrorCode::InvalidRequest, error.to_string()))
    })?;
    Ok(key.map(|key| Once::new(request.method().as_str(), request.path(), &key, body)))
}

fn acceptable(request: &HttpRequest, body: Body) -> Result<Bytes, Failure> {
    let complain = |code, detail: &str| Err(Failure::from(Complaint::new(code, detail)));
    if let Err(code) = body::check_type(request.method(), request.headers()) {
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
            "the body broke off or did not come in time; send the request again",
        ),
    }
}

async fn refuse(app: &App, context: &Context, failure: Failure) -> HttpResponse {
    let respond = |complaint: Complaint, event, limits: &[(LimitName, Decision)]| {
        complaint.respond(&app.public_url, &context.call.request_id, event, limits)
    };
    match failure {
        Failure::Refused(refusal) => respond(
            Complaint::of_error(&refusal.error),
            refusal.event,
            &refusal.limits,
        ),
        Failure::Form(complaint) => match app.service.refuse_as(context, complaint.code).await {
            Ok(event) => respond(*complaint, Some(event), &context.limits),
            Err(fault) => respond(
                Complaint::of_error(&Error::Store(fault)),
                None,
                &context.limits,
            ),
        },
    }
}

/// Whether a part of a path has the form of an id at all; anything else is not put on record.
fn is_an_id(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The methods there are; a made-up one would be a label and a row that clients choose.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
