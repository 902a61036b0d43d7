//! `/cp/token`.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
        },
    },
};
use api::{
    TokenErrorView, TokenRequest, TokenRequestError, TokenView,
    openapi::{Body as FormBody, Content, Header, Operation, Success, Tag},
};
use ids::EventId;
use serde::Serialize;
use service::{Exchange, ExchangeError, ExchangeRejection, RequestInfo, operations as op};

use crate::http::{
    AnonymousRequest, App, Body, HandlerError, MAX_BODY, set_event, set_retry_after,
};

pub const TOKEN_EXCHANGE: Operation = Operation {
    detail: "For pipelines without a stored secret (RFC 8693). The provider of the pipeline signs a token for each of \
             its jobs; a trust rule says whose tokens are taken. The key is a partner key like any other. It has the \
             name of the rule, ends after `expires_in` seconds, and leaves lists a day later. Each token is exchanged \
             once. Errors are those of OAuth (RFC 6749, section 5.2).",
    body: Some(FormBody::form::<TokenRequest>()),
    ..Operation::new(
        "exchangeToken",
        Tag::TrustRules,
        "Exchange the token of a pipeline for a key",
        &[
            Success::new(200, "The key, with its secret.", Content::json::<TokenView<'static>>())
                .headers(&[Header::AuditEventId]),
            Success::new(
                400,
                "The request is malformed, or the token is not trusted.",
                ERROR,
            ),
            Success::new(
                429,
                "Too many exchanges from this address have failed, or too many by this rule were made.",
                ERROR,
            )
            .headers(&[Header::RetryAfter]),
            Success::new(
                503,
                "The keys of the issuer can't be fetched, or the database does not answer.",
                ERROR,
            )
            .headers(&[Header::RetryAfter]),
        ],
    )
};

const ERROR: Content = Content::json::<TokenErrorView>();
/// For how long a pipeline should wait when an issuer or the database does not answer.
const UNAVAILABLE_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

pub async fn exchange(request: AnonymousRequest) -> Result<HttpResponse, HandlerError> {
    let (app, info) = (request.app(), request.info(op::TOKEN_EXCHANGE));
    Ok(match read(request).await {
        Ok(asked) => exchange_by(&app, &info, asked).await,
        Err(TokenRequestError::UnsupportedGrantType) => {
            app.metrics.exchanges.ended("unsupported-grant-type");
            let detail = "grant_type must be urn:ietf:params:oauth:grant-type:token-exchange";
            error(400, "unsupported_grant_type", detail.to_owned(), None)
        }
        Err(TokenRequestError::Invalid(detail)) => {
            app.metrics.exchanges.ended("malformed-request");
            error(400, "invalid_request", detail, None)
        }
    })
}

async fn exchange_by(app: &App, info: &RequestInfo, asked: TokenRequest) -> HttpResponse {
    let asked = Exchange {
        rule: asked.trust_rule(),
        scopes: asked.scopes(),
        token: asked.into_token(),
    };
    let exchanged = app.service.token_exchange(&app.issuer_client, info, asked);
    match Box::pin(exchanged).await {
        Ok(exchanged) => {
            app.metrics.exchanges.ended("success");
            let (event, exchanged) = (exchanged.event, exchanged.value);
            let scopes = exchanged.key.scopes;
            let view = TokenView::new(
                &exchanged.secret,
                exchanged.expires_in,
                scopes,
                exchanged.key.id,
            );
            json(200, &view, Some(event))
        }
        Err(rejection) => rejected(app, rejection),
    }
}

/// The form, if the request has one and nothing else.
async fn read(mut request: AnonymousRequest) -> Result<TokenRequest, TokenRequestError> {
    let refuse = |detail: &str| Err(TokenRequestError::Invalid(detail.to_owned()));
    // First, whatever is wrong: a client that is cut off while it sends may never see the response.
    let body = request.read(MAX_BODY).await;
    if request.headers().contains_key(AUTHORIZATION) {
        return refuse("send no Authorization: the token is the proof");
    }
    if !request.query().is_empty() {
        return refuse("send the parameters in the body, and no query: URLs are logged");
    }
    if !is_form(request.headers()) {
        return refuse("the body must be application/x-www-form-urlencoded");
    }
    match body {
        Body::Whole(body) => TokenRequest::from_form(&body),
        Body::TooLarge => refuse("the body is larger than 64 KiB"),
        Body::Broken => {
            refuse("the body ended early or took longer than 15 seconds; send it again")
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE);
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let value = value.to_str().unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters.trim().to_ascii_lowercase().replace('"', "");
    !encoded
        && essence
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && ["", "charset=utf-8"].contains(&charset.as_str())
}

fn rejected(app: &App, rejection: ExchangeRejection) -> HttpResponse {
    let ExchangeRejection {
        error: reason,
        event,
    } = rejection;
    app.metrics.exchanges.ended(reason.reason());
    let code = match &reason {
        ExchangeError::NoRule | ExchangeError::PartnerPlan => "invalid_grant",
        ExchangeError::Denied(trust::Denial::Form(trust::InvalidJwt::TooLong)) => "invalid_request",
        ExchangeError::Denied(_) => "invalid_grant",
        ExchangeError::Scope(_) => "invalid_scope",
        ExchangeError::RateLimited { .. } | ExchangeError::IssuerUnavailable(_) => {
            "temporarily_unavailable"
        }
        ExchangeError::Store(fault) if fault.is_temporary() => "temporarily_unavailable",
        ExchangeError::Store(_) => "server_error",
    };
    let detail = if let ExchangeError::Store(fault) = &reason {
        if fault.is_temporary() {
            "the database does not answer; try again later".to_owned()
        } else {
            "the exchange failed; the operator's log says why".to_owned()
        }
    } else {
        reason.to_string()
    };
    let status = reason.status();
    let mut response = error(status, code, detail, event);
    let retry_after = if let ExchangeError::RateLimited { retry_after, .. } = reason {
        Some(retry_after)
    } else {
        (status == 503).then_some(UNAVAILABLE_RETRY)
    };
    if let Some(retry_after) = retry_after {
        set_retry_after(response.headers_mut(), retry_after);
    }
    response
}

fn error(
    status: u16,
    error: &'static str,
    description: String,
    event: Option<EventId>,
) -> HttpResponse {
    // What RFC 6749, section 5.2, allows: a claim may have any name.
    let fits = |c: &char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
    let view = TokenErrorView {
        error,
        error_description: description.chars().filter(fits).collect(),
    };
    json(status, &view, event)
}

fn json(status: u16, view: &impl Serialize, event: Option<EventId>) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status).json(view);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_event(headers, event);
    response
}
