//! Headers of requests and answers.

use std::time::Duration;

use actix_web::{
    HttpResponseBuilder,
    http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use api::{InvalidIdempotencyKey, idempotency_key};
use ratelimit::Decision;
use service::LimitName;

/// What a client that polls a pending org is told to wait, in seconds.
pub const RETRY_AFTER_PENDING: &str = "1";

/// The request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The audit event of an answer.
pub const AUDIT_EVENT_ID: HeaderName = HeaderName::from_static("audit-event-id");
/// Says that an answer is an earlier call's.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The longest user agent that is recorded, in characters.
const MAX_USER_AGENT: usize = 255;

/// The client's own id of the request, if it is one that can be used as it is.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=128).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    fits.then(|| value.to_owned())
}

/// What the client says it is, cut and without control characters.
pub fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    let plain = value
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_USER_AGENT)
        .collect::<String>();
    (!plain.is_empty()).then_some(plain)
}

/// The idempotency key of a request that may be sent again.
///
/// # Errors
/// When the header stands twice or has no form that names a key.
pub fn idempotency(headers: &HeaderMap) -> Result<Option<String>, InvalidIdempotencyKey> {
    let mut values = headers.get_all("idempotency-key");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| InvalidIdempotencyKey)?;
            idempotency_key(text).map(Some)
        }
        (Some(_), Some(_)) => Err(InvalidIdempotencyKey),
    }
}

/// A header of the request that asks for something this server does not offer yet.
pub fn not_offered(headers: &HeaderMap) -> Option<&'static str> {
    let waits = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.split([',', ';']).any(|preference| {
            preference
                .split('=')
                .next()
                .is_some_and(|name| name.trim() == "wait")
        })
    };
    headers.get_all("prefer").any(waits).then_some(
        "Prefer: wait is not offered by this version of the server; leave the header out and poll",
    )
}

/// `RateLimit-Policy` and `RateLimit`, draft-ietf-httpapi-ratelimit-headers-11.
pub fn add_limits(builder: &mut HttpResponseBuilder, limits: &[(LimitName, Decision)]) {
    if limits.is_empty() {
        return;
    }
    let list = |item: &dyn Fn(&Decision) -> String| {
        let items = limits
            .iter()
            .map(|(name, decision)| format!("\"{}\";{}", name.as_str(), item(decision)));
        items.collect::<Vec<_>>().join(", ")
    };
    let policy = |decision: &Decision| {
        format!(
            "q={};w={}",
            decision.limit.limit(),
            decision.limit.window_seconds()
        )
    };
    let left = |decision: &Decision| {
        format!(
            "r={};t={}",
            decision.remaining,
            whole_seconds(decision.full_after)
        )
    };
    builder.insert_header((RATELIMIT_POLICY, list(&policy)));
    builder.insert_header((RATELIMIT, list(&left)));
}

/// `Retry-After`: at least a second, and never too early.
pub fn add_retry_after(builder: &mut HttpResponseBuilder, wait: Duration) {
    builder.insert_header((RETRY_AFTER, whole_seconds(wait).max(1).to_string()));
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        headers
    }

    #[test]
    fn a_request_id_is_taken_when_it_is_harmless() {
        let taken = |value: &str| request_id(&headers("x-request-id", value)).is_some();
        assert!(taken("run-7.a_B"));
        assert!(taken(&"x".repeat(128)));
        assert!(!taken(&"x".repeat(129)));
        assert!(!taken(""));
        assert!(!taken("a b"));
        assert!(!taken("a\"b"));
    }

    #[test]
    fn waiting_is_recognized_among_other_preferences() {
        let asks = |value: &str| not_offered(&headers("prefer", value)).is_some();
        assert!(asks("wait=10"));
        assert!(asks("respond-async, Wait = 10"));
        assert!(!asks("return=minimal"));
        assert!(!asks("await=1"));
    }
}
