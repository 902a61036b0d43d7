//! The only way to an authenticated call: an extractor that handlers name.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    dev::Payload,
    error::ErrorInternalServerError,
    http::{Method, Uri, header::HeaderMap},
    web::Bytes,
};
use api::{
    BodyError, EmptyBody, ErrorCode, KeyRevocation, ListParams, Parameters, Query, QueryError,
    Request as _,
};
use futures_util::future::LocalBoxFuture;
use ids::{KeyId, OrgId, TypedId};
use service::{Context, Credentials, IdempotencyKey, Operation, RequestInfo, operations};
use trust::IssuerPolicy;

use super::{
    App, ControlPlane,
    body::{self, Body, MAX_BODY},
    connection::Exchange,
    credentials::{NoCredential, bearer},
    headers::{idempotency, preferred_wait, user_agent},
    labels::{is_an_id, method_name, route},
    problem_details::{HandlerError, ProblemDetails},
    problem_response::ProblemResponse,
    request::{Request, RequestPath},
};
use crate::metrics::Outcome;

/// A call by a known credential, within its limits, that may ask for its operation. The body was read.
pub struct AuthenticatedRequest {
    /// The caller, and what is recorded of the call.
    pub context: Arc<Context>,
    app: Arc<App>,
    uri: Uri,
    wait: Option<Duration>,
    path: RequestPath,
    body: Bytes,
    exchange: Rc<Exchange>,
}

impl AuthenticatedRequest {
    pub fn service(&self) -> &ControlPlane {
        &self.app.service
    }

    /// Which issuers trust rules may have.
    pub fn issuer_policy(&self) -> IssuerPolicy {
        self.app.issuer_policy
    }

    /// The page that customers log in on.
    pub fn login_url(&self) -> &str {
        &self.app.login_url
    }

    /// The `{id}` of the path.
    pub fn id<I: TypedId>(&self) -> Result<I, HandlerError> {
        self.named_id("id")
    }

    /// Another id of the path.
    pub fn named_id<I: TypedId>(&self, name: &str) -> Result<I, HandlerError> {
        let id = self.path.id(name);
        id.ok_or_else(|| ProblemDetails::not_found().into())
    }

    /// `Prefer: wait`.
    pub const fn preferred_wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Waits until the client has closed its side: it is gone, or sends nothing more and waits.
    pub async fn client_end(&self) {
        self.exchange.input_end().await;
    }

    /// Parses the body.
    pub fn json<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, BodyError>,
    ) -> Result<T, HandlerError> {
        self.no_query()?;
        Ok(parse(&self.body)?)
    }

    /// Parses the body; none is an empty object.
    pub fn json_or_empty<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> Result<T, BodyError>,
    ) -> Result<T, HandlerError> {
        self.no_query()?;
        let body = if self.body.is_empty() {
            b"{}"
        } else {
            &*self.body
        };
        Ok(parse(body)?)
    }

    /// Refuses a query, and a body other than none or an empty object.
    pub fn no_body(&self) -> Result<(), HandlerError> {
        self.no_query()?;
        if self.body.is_empty() {
            return Ok(());
        }
        EmptyBody::from_body(&self.body, &())?;
        Ok(())
    }

    /// Reads the query.
    pub fn query<Q: Query>(&self) -> Result<Q, HandlerError> {
        Ok(Q::read_all(
            self.parameters()?,
            self.context.caller.is_admin(),
        )?)
    }

    /// Reads the query of a list: its filters, and which page. `list` names the list and whatever besides the
    /// filters decides what is in it.
    pub fn list<Q: Query>(&self, list: &str) -> Result<(Q, ListParams), HandlerError> {
        Ok(ListParams::read(
            self.parameters()?,
            self.context.caller.is_admin(),
            list,
        )?)
    }

    /// Refuses a query.
    pub fn no_query(&self) -> Result<(), HandlerError> {
        self.query()
    }

    fn parameters(&self) -> Result<Parameters, QueryError> {
        Parameters::parse(self.uri.query().unwrap_or_default())
    }
}

/// What the routing leaves in a request's extensions for the extractor.
pub(super) struct Unauthenticated {
    pub request: Box<Request>,
    pub operation: Operation,
}

impl FromRequest for AuthenticatedRequest {
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self, actix_web::Error>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let unauthenticated = http.extensions_mut().remove::<Unauthenticated>();
        Box::pin(async move {
            // A handler that is not in the routing table has no operation that a caller could be allowed.
            let Unauthenticated { request, operation } = unauthenticated
                .ok_or_else(|| ErrorInternalServerError("this path has no operation"))?;
            Ok(extract(request, operation).await?)
        })
    }
}

/// From a request to a call that may be carried out, or to the response that refuses it. The order of
/// these steps is the order of refusals that clients rely on.
async fn extract(
    request: Box<Request>,
    operation: Operation,
) -> Result<AuthenticatedRequest, ProblemResponse> {
    let (app, id) = (Arc::clone(&request.app), Arc::clone(&request.id));
    let query = request.uri.query().unwrap_or_default();
    let key = match bearer(&request.headers, query, &app.key_prefixes) {
        Ok(key) => key,
        Err(error) => {
            let outcome = match error {
                NoCredential::Malformed => Outcome::Malformed,
                NoCredential::Missing | NoCredential::Misplaced(_) => Outcome::Missing,
            };
            app.metrics.authentications.ended(None, outcome);
            let source = request.address_source();
            request.discard(source).await;
            return Err(match error {
                NoCredential::Malformed => ProblemResponse::malformed_key(&app, &id),
                NoCredential::Missing | NoCredential::Misplaced(_) => {
                    ProblemResponse::unaudited(&app, &id, ProblemDetails::no_credential(error))
                }
            });
        }
    };
    // A query makes it malformed, and malformed calls are limited.
    let is_plain = request.uri.query().unwrap_or_default().is_empty();
    let revokes = (operation == operations::KEY_REVOKE && is_plain)
        .then(|| request.path.id::<KeyId>("id"))
        .flatten();
    let info = request_info(&request, operation);
    let kind = key.kind();
    let address = info.client.limited_by();
    let authenticating = app.service.authenticate(info, Credentials { key, revokes });
    let mut context = match Box::pin(authenticating).await {
        Ok(context) => context,
        Err(rejection) => {
            let outcome = Outcome::from(&rejection.error);
            app.metrics.authentications.ended(Some(kind), outcome);
            if outcome == Outcome::Unknown {
                app.metrics.rate_limits.allowed_address();
            }
            // For a token that is not known, or for its address.
            let source = if matches!(outcome, Outcome::Unknown | Outcome::Limited) {
                app.pacing.address(address)
            } else {
                app.pacing.token(&request.headers)
            };
            request.discard(source).await;
            return Err(ProblemResponse::rejected(&app, &id, rejection));
        }
    };
    app.metrics
        .authentications
        .succeeded(context.caller.is_admin());
    if context.is_charged() {
        app.metrics.rate_limits.allowed(&context.limits);
    }
    let Request {
        method,
        uri,
        headers,
        path,
        body,
        ..
    } = *request;
    let exchange = Rc::clone(body.exchange());
    let body = body
        .read(&app.pacing, || app.pacing.caller(&context.caller))
        .await;
    if !(context.is_charged() || is_a_revocation(&headers, &body))
        && let Err(rejection) = app.service.charge_limits(&mut context).await
    {
        let source = app.pacing.caller(&context.caller);
        app.pacing.wait(source, 0).await;
        return Err(ProblemResponse::rejected(&app, &id, rejection));
    }
    let authorizing = authorize(&app, (&method, &uri, &headers), &mut context, body);
    let body = match Box::pin(authorizing).await {
        Ok(body) => body,
        Err(error) => {
            let refusing = ProblemResponse::audit(&app, &context, error);
            return Err(Box::pin(refusing).await);
        }
    };
    Ok(AuthenticatedRequest {
        context: Arc::new(context),
        app,
        uri,
        wait: preferred_wait(&headers),
        path,
        body,
        exchange,
    })
}

/// Whether a request that was let in as a key's own revocation is one by its body too.
fn is_a_revocation(headers: &HeaderMap, body: &Body) -> bool {
    match body {
        Body::Whole(bytes) => {
            let typed = read_as(&Method::DELETE, operations::KEY_REVOKE, body);
            body::check_type(typed, headers).is_ok() && KeyRevocation::read(bytes).is_ok()
        }
        Body::TooLarge | Body::Broken => false,
    }
}

/// The method by which the type of a body is judged: a revocation may have none, and then it has no type.
fn read_as<'a>(method: &'a Method, operation: Operation, body: &Body) -> &'a Method {
    let is_empty = matches!(body, Body::Whole(bytes) if bytes.is_empty());
    if operation == operations::KEY_REVOKE && !is_empty {
        &Method::POST
    } else {
        method
    }
}

/// What audit events tell of a request.
pub(super) fn request_info(request: &Request, operation: Operation) -> RequestInfo {
    let Request {
        app, headers, path, ..
    } = request;
    RequestInfo {
        at: app.service.env().now(),
        request_id: Arc::clone(&request.id),
        method: method_name(&request.method),
        route: route(path),
        operation,
        subject: path.param("id").filter(|id| is_an_id(id)).map(Arc::from),
        org_id: path.id::<OrgId>("id"),
        client: request.client(),
        user_agent: user_agent(headers),
        secret: None,
    }
}

/// Checks that the caller may ask for the operation and that its body is acceptable, which is returned.
async fn authorize(
    app: &App,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    context: &mut Context,
    body: Body,
) -> Result<Bytes, HandlerError> {
    // An unknown path is 404 whatever the caller may do and whatever the body is.
    if context.request.operation == operations::UNROUTED {
        return Ok(Bytes::new());
    }
    app.service.authorize(context).await?;
    let typed = read_as(method, context.request.operation, &body);
    let body = body::acceptable(typed, headers, body, MAX_BODY)?;
    if *method == Method::POST {
        let key = idempotency(headers)
            .map_err(|error| ProblemDetails::new(ErrorCode::InvalidRequest, error.to_string()))?;
        context.idempotency_key =
            key.map(|key| IdempotencyKey::new(method.as_str(), uri.path(), &key, &body));
    }
    Ok(body)
}
