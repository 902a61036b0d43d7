//! Headers of requests and answers.

use std::time::Duration;

use actix_web::{
    HttpResponseBuilder,
    http::header::{HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT},
};
use api::{InvalidIdempotencyKey, idempotency_key};
use ratelimit::Decision;
use service::LimitName;

/// The request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The audit event of an answer.
pub const AUDIT_EVENT_ID: HeaderName = HeaderName::from_static("audit-event-id");
/// Says that an answer is an earlier call's.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Says what was made of a preference.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");
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

/// For how long the client would wait for a better answer.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers
        .get_all(PREFER)
        .filter_map(|value| value.to_str().ok());
    api::preferred_wait(values).map(|seconds| Duration::from_secs(seconds.into()))
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
    builder.insert_header((RETRY_AFTER, retry_after(wait)));
}

/// The value of `Retry-After`.
pub fn retry_after(wait: Duration) -> String {
    whole_seconds(wait).max(1).to_string()
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

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
}
