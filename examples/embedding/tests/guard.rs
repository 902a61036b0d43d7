//! The shop's rules, through its router, without a socket.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use embedding::{Shop, router};
use ids::Name;
use ratelimit::RateLimit;
use scopes::{Scope, ScopeSet};
use time::OffsetDateTime;
use tower::ServiceExt;

/// A shop with one key.
fn shop(scopes: ScopeSet, limit: RateLimit) -> (Router, String) {
    let shop = Shop::new().unwrap();
    let name = Name::new("test").unwrap();
    let key = shop
        .keys
        .issue(name, scopes, limit, OffsetDateTime::now_utc());
    (router(Arc::new(shop)), key.expose().to_owned())
}

fn reader(limit: RateLimit) -> (Router, String) {
    shop(ScopeSet::EMPTY.with(Scope::BillingRead), limit)
}

async fn call(router: &Router, method: &str, path: &str, token: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn orders(router: &Router, token: &str) -> Response {
    call(router, "GET", "/orders", Some(token)).await
}

fn header_of(response: &Response, name: header::HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

#[track_caller]
fn refused(response: &Response, status: StatusCode, challenge: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(
        header_of(response, header::CONTENT_TYPE),
        "application/problem+json"
    );
    assert_eq!(header_of(response, header::WWW_AUTHENTICATE), challenge);
}

const INVALID: &str = "Bearer error=\"invalid_token\"";

#[tokio::test]
async fn a_good_key_reads_the_orders() {
    let (router, key) = reader(RateLimit::KEY_DEFAULT);
    let answer = orders(&router, &key).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer).await.contains("pipette"));
}

#[tokio::test]
async fn a_call_without_a_key_is_refused() {
    let (router, _) = reader(RateLimit::KEY_DEFAULT);
    let answer = call(&router, "GET", "/orders", None).await;
    refused(&answer, StatusCode::UNAUTHORIZED, "Bearer");
}

#[tokio::test]
async fn a_mistyped_key_is_refused() {
    let (router, key) = reader(RateLimit::KEY_DEFAULT);
    let (rest, last) = key.split_at(key.len() - 1);
    let slip = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    let answer = orders(&router, &slip).await;
    refused(&answer, StatusCode::UNAUTHORIZED, INVALID);
}

#[tokio::test]
async fn a_key_of_another_shop_is_refused() {
    let (router, _) = reader(RateLimit::KEY_DEFAULT);
    let (_, key) = reader(RateLimit::KEY_DEFAULT);
    let answer = orders(&router, &key).await;
    refused(&answer, StatusCode::UNAUTHORIZED, INVALID);
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused() {
    let (router, key) = shop(
        ScopeSet::EMPTY.with(Scope::AuditRead),
        RateLimit::KEY_DEFAULT,
    );
    let answer = orders(&router, &key).await;
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"billing:read\"";
    refused(&answer, StatusCode::FORBIDDEN, challenge);
    assert_eq!(
        text(answer).await,
        r#"{"status":403,"title":"the key lacks the scope billing:read"}"#
    );
}

#[tokio::test]
async fn a_key_over_its_limit_is_told_when_to_come_back() {
    let (router, key) = reader(RateLimit::new(2, 3600).unwrap());
    for _ in 0..2 {
        assert_eq!(orders(&router, &key).await.status(), StatusCode::OK);
    }
    let answer = orders(&router, &key).await;
    refused(&answer, StatusCode::TOO_MANY_REQUESTS, "");
    let wait: u64 = header_of(&answer, header::RETRY_AFTER).parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_the_next_request() {
    let (router, key) = reader(RateLimit::KEY_DEFAULT);
    assert_eq!(orders(&router, &key).await.status(), StatusCode::OK);
    let answer = call(&router, "DELETE", "/key", Some(&key)).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let answer = orders(&router, &key).await;
    refused(&answer, StatusCode::UNAUTHORIZED, INVALID);
}
