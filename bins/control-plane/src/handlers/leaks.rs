//! `/cp/leaks`: reports of tokens that were found somewhere.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, HeaderMap, HeaderValue},
};
use api::{
    ErrorCode, FALSE_POSITIVE, GithubLeak, GithubLeaks, GithubVerdictView, LeakReport,
    Request as _, TRUE_POSITIVE,
    openapi::{Body, Content, Operation, Success, Tag},
};
use ids::Name;
use keys::{KeyKind, KeyPrefixes, LeakLocation, LeakUrl, PlainKey};
use service::{Error, LeakedToken, Verdict};

use crate::{
    github::{ListUnavailable, is_signed},
    http::{AnonymousRequest, App, HandlerError, MAX_BODY, ProblemDetails},
};

/// The largest report of anybody where a prefix is longer than ours: 1000 tokens with the longest one fit.
const MAX_LONG_REPORT: usize = 72 * 1024;
/// The longest prefix with which 1000 tokens fit into a body like any other.
const USUAL_PREFIX: usize = 7;
/// The largest report of GitHub's.
const MAX_GITHUB_REPORT: usize = 1024 * 1024;
/// How many tokens one report of GitHub's has at the most.
const MAX_GITHUB_TOKENS: usize = 10_000;
/// The shortest admin key that an operator may choose.
const MIN_OPERATOR_KEY: usize = 32;
const IDENTIFIER: &str = "github-public-key-identifier";
const SIGNATURE: &str = "github-public-key-signature";

pub const LEAK_REPORT: Operation = Operation {
    detail: "Anybody may report tokens that were found where they don't belong, 60 times an hour. The response is \
             always the same: it does not tell which of them are keys. A key among them is handled within two \
             seconds as its `on_leak` says: it is revoked, or its partner is told.",
    body: Some(Body::of::<LeakReport>()),
    errors: &[
        ErrorCode::PayloadTooLarge,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::ValidationFailed,
        ErrorCode::RateLimited,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ],
    ..Operation::new(
        "reportLeaks",
        Tag::PartnerKeys,
        "Report leaked tokens",
        &[Success::empty(202, "The report was taken.")],
    )
};

pub async fn report(request: AnonymousRequest) -> Result<HttpResponse, HandlerError> {
    let (app, address) = (request.app(), request.client().limited_by());
    if let Err(error) = app.service.leak_report_charge(address).await {
        request.discard().await;
        return Err(refused(&error));
    }
    let body = request.json(max_report(&app.key_prefixes)).await?;
    let report = LeakReport::from_body(&body, &())?;
    let (tokens, location) = report.into_parts();
    let tokens: Vec<PlainKey> = tokens
        .iter()
        .filter_map(|text| token(&app.key_prefixes, text))
        .collect();
    app.service
        .leak_report(address, &tokens, location)
        .await
        .map_err(|error| refused(&Error::Store(error)))?;
    Ok(HttpResponse::Accepted().finish())
}

/// How large a report may be.
fn max_report(prefixes: &KeyPrefixes) -> usize {
    let mut lengths = prefixes.all().map(|prefix| prefix.as_str().len());
    if lengths.any(|length| length > USUAL_PREFIX) {
        MAX_LONG_REPORT
    } else {
        MAX_BODY
    }
}

/// A text that may be a key: its form and checksum are right, or it is none of ours and may be the admin key that the
/// operator has chosen.
fn token(prefixes: &KeyPrefixes, text: &str) -> Option<PlainKey> {
    let token = prefixes.parse(text).ok()?;
    let may_be_chosen =
        text.len() >= MIN_OPERATOR_KEY && text.bytes().all(|byte| byte.is_ascii_graphic());
    (token.kind() != KeyKind::Operator || may_be_chosen).then_some(token)
}

fn refused(error: &Error) -> HandlerError {
    ProblemDetails::of_error(error).into()
}

pub const LEAK_REPORT_GITHUB: Operation = Operation {
    detail: "GitHub's secret scanning partner program. It is off, and the path unknown, until the operator has named \
             the list of GitHub's keys. The headers `Github-Public-Key-Identifier` and `Github-Public-Key-Signature` \
             say which key has signed the body, and how.",
    body: Some(Body::of::<GithubLeaks>()),
    errors: &[
        ErrorCode::NotPermitted,
        ErrorCode::NotFound,
        ErrorCode::PayloadTooLarge,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::RateLimited,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ],
    ..Operation::new(
        "reportLeaksFromGithub",
        Tag::PartnerKeys,
        "Report leaked tokens from GitHub",
        &[Success::new(
            200,
            "What the tokens are.",
            Content::json::<Vec<GithubVerdictView>>(),
        )],
    )
};

pub async fn report_from_github(request: AnonymousRequest) -> Result<HttpResponse, HandlerError> {
    let app = request.app();
    let Some(keys) = &app.github_keys else {
        request.discard().await;
        return Err(ProblemDetails::not_found().into());
    };
    let address = request.client().limited_by();
    if let Err(error) = app.service.leak_report_check(address).await {
        request.discard().await;
        return Err(refused(&error));
    }
    let header = |headers: &HeaderMap, name: &str| {
        let mut values = headers.get_all(name);
        let value = values.next()?.to_str().ok()?.to_owned();
        values.next().is_none().then_some(value)
    };
    let identifier = header(request.headers(), IDENTIFIER);
    let signature = header(request.headers(), SIGNATURE);
    let (Some(identifier), Some(signature)) = (identifier, signature) else {
        request.discard().await;
        return Err(not_signed(&app, address).await);
    };
    let Some(_turn) = keys.turn(address) else {
        request.discard().await;
        return Err(ProblemDetails::busy().into());
    };
    let key = match keys.key(&identifier).await {
        Ok(Some(key)) => key,
        Ok(None) => {
            request.discard().await;
            return Err(not_signed(&app, address).await);
        }
        Err(ListUnavailable) => {
            request.discard().await;
            return Err(ProblemDetails::busy().into());
        }
    };
    let body = match request.json(MAX_GITHUB_REPORT).await {
        Ok(body) => body,
        Err(error) => {
            // GitHub sends whole bodies of JSON; whoever does not has held a turn.
            app.service
                .leak_report_charge(address)
                .await
                .map_err(|error| refused(&error))?;
            return Err(error);
        }
    };
    if !is_signed(&key, &signature, &body) {
        return Err(not_signed(&app, address).await);
    }
    let leaks = GithubLeaks::read(&body)?;
    if leaks.len() > MAX_GITHUB_TOKENS {
        let detail = format!("The report has more than {MAX_GITHUB_TOKENS} tokens. Send fewer.");
        return Err(ProblemDetails::new(ErrorCode::PayloadTooLarge, detail).into());
    }
    let verdicts = handle(&app, &leaks)
        .await
        .map_err(|error| refused(&error))?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .json(verdicts))
}

/// Charges an address for a report that GitHub has not signed; what it is told.
async fn not_signed(app: &App, address: std::net::IpAddr) -> HandlerError {
    match app.service.leak_report_charge(address).await {
        Ok(()) => ProblemDetails::new(
            ErrorCode::NotPermitted,
            "The report is not signed by one of GitHub's keys. Send Github-Public-Key-Identifier and \
             Github-Public-Key-Signature over the body as it is; others report to /cp/leaks.",
        )
        .into(),
        Err(error) => refused(&error),
    }
}

async fn handle(app: &App, leaks: &[GithubLeak]) -> Result<Vec<GithubVerdictView>, Error> {
    let leaked = |leak| leaked(&app.key_prefixes, leak);
    let tokens: Vec<Option<LeakedToken>> = leaks.iter().map(leaked).collect();
    let known = tokens.iter().flatten().cloned().collect();
    let mut verdicts = app.service.leaks_handle(known).await?.into_iter();
    Ok(std::iter::zip(leaks, tokens)
        .map(|(leak, token)| {
            let verdict = token.and_then(|_| verdicts.next());
            GithubVerdictView {
                token_raw: leak.token.expose().to_owned(),
                token_type: leak.kind.clone(),
                label: match verdict {
                    Some(Verdict::Known) => TRUE_POSITIVE,
                    Some(Verdict::Unknown) | None => FALSE_POSITIVE,
                },
            }
        })
        .collect())
}

/// A token that may be a key, and where GitHub has found it.
fn leaked(prefixes: &KeyPrefixes, leak: &GithubLeak) -> Option<LeakedToken> {
    let source = match leak.source.as_deref() {
        None | Some("") => "github".to_owned(),
        Some(source) => {
            let plain = source.chars().filter(|character| !character.is_control());
            format!("github: {}", plain.take(100).collect::<String>())
        }
    };
    Some(LeakedToken {
        token: token(prefixes, leak.token.expose())?,
        location: LeakLocation {
            source: Name::new(source).ok(),
            url: leak.url.as_deref().and_then(LeakUrl::lossy),
        },
    })
}
