//! Headers of requests and responses.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use api::{InvalidIdempotencyKey, idempotency_key};
use ids::{EventId, TypedId as _};
use ratelimit::Decision;
use service::{Deprecation, LimitName};
use time::{UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const AUDIT_EVENT_ID: HeaderName = HeaderName::from_static("audit-event-id");
/// Marks the response as that of an earlier call.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// RFC 9110, 5.6.7.
const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The longest user agent that is recorded, in characters.
const MAX_USER_AGENT: usize = 255;

/// The client's own id, if it is valid.
pub fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=128).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    fits.then(|| value.into())
}

/// Truncated, and without control characters.
pub fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    let plain = value
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_USER_AGENT)
        .collect::<String>();
    (!plain.is_empty()).then(|| plain.into())
}

/// # Errors
/// When the header is there twice or malformed.
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

/// `Prefer: wait`.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers
        .get_all(PREFER)
        .filter_map(|value| value.to_str().ok());
    api::preferred_wait(values).map(|seconds| Duration::from_secs(seconds.into()))
}

/// Sets a header. A value that no header can have is logged and left out.
pub fn set<V>(headers: &mut HeaderMap, name: HeaderName, value: V)
where
    HeaderValue: TryFrom<V, Error: std::fmt::Display>,
{
    match HeaderValue::try_from(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => tracing::error!(
            header = name.as_str(),
            "setting a response header failed: {error}"
        ),
    }
}

/// Names the audit event of a response.
pub fn set_event(headers: &mut HeaderMap, event: Option<EventId>) {
    if let Some(event) = event {
        set(headers, AUDIT_EVENT_ID, event.text());
    }
}

/// `RateLimit-Policy` and `RateLimit`, draft-ietf-httpapi-ratelimit-headers-11.
pub fn set_limits(headers: &mut HeaderMap, limits: &[(LimitName, Decision)]) {
    if limits.is_empty() {
        return;
    }
    let list = |parameters: &dyn Fn(&Decision) -> [(&'static str, u64); 2]| {
        let mut text = String::with_capacity(64);
        for (name, decision) in limits {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push('"');
            text.push_str(name.as_str());
            text.push('"');
            for (parameter, value) in parameters(decision) {
                text.push(';');
                text.push_str(parameter);
                text.push('=');
                text.push_str(itoa::Buffer::new().format(value));
            }
        }
        text
    };
    let policy = |decision: &Decision| {
        let limit = decision.limit;
        [
            ("q", limit.limit().get().into()),
            ("w", limit.window_seconds().get().into()),
        ]
    };
    let left = |decision: &Decision| {
        [
            ("r", decision.remaining.into()),
            ("t", whole_seconds(decision.full_after)),
        ]
    };
    set(headers, RATELIMIT_POLICY, list(&policy));
    set(headers, RATELIMIT, list(&left));
}

/// `Deprecation` (RFC 9745) and `Sunset` (RFC 8594), for a secret that has a successor.
pub fn set_deprecation(headers: &mut HeaderMap, deprecation: Option<Deprecation>) {
    let Some(Deprecation { since, until }) = deprecation else {
        return;
    };
    set(headers, DEPRECATION, format!("@{}", since.unix_timestamp()));
    match until.to_offset(UtcOffset::UTC).format(HTTP_DATE) {
        Ok(date) => set(headers, SUNSET, date),
        Err(error) => tracing::error!("writing the end of a secret failed: {error}"),
    }
}

/// `Retry-After`: at least a second, and never too early.
pub fn set_retry_after(headers: &mut HeaderMap, wait: Duration) {
    set(headers, RETRY_AFTER, retry_after(wait));
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
    use ratelimit::RateLimit;
    use time::macros::datetime;

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
    fn limits_are_structured_fields() {
        let decision = |limit, remaining, millis| Decision {
            limit,
            remaining,
            full_after: Duration::from_millis(millis),
            retry_after: None,
        };
        let limits = [
            (
                LimitName::Key,
                decision(RateLimit::literal(600, 60), 599, 100),
            ),
            (
                LimitName::Partner,
                decision(RateLimit::literal(6000, 3600), 0, 2000),
            ),
        ];
        let mut headers = HeaderMap::new();
        set_limits(&mut headers, &limits);
        let value_of = |name| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(
            value_of(RATELIMIT_POLICY),
            r#""key";q=600;w=60, "partner";q=6000;w=3600"#
        );
        assert_eq!(value_of(RATELIMIT), r#""key";r=599;t=1, "partner";r=0;t=2"#);
        set_limits(&mut headers, &[]);
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn a_secret_with_a_successor_is_told_its_end() {
        let mut headers = HeaderMap::new();
        set_deprecation(&mut headers, None);
        assert!(headers.is_empty());
        let deprecation = Deprecation {
            since: datetime!(2026-04-23 08:00:00.9 UTC),
            until: datetime!(2026-05-04 08:00:59.9 UTC),
        };
        set_deprecation(&mut headers, Some(deprecation));
        let value_of = |name| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(value_of(DEPRECATION), "@1776931200");
        assert_eq!(value_of(SUNSET), "Mon, 04 May 2026 08:00:59 GMT");
    }

    #[test]
    fn a_value_that_no_header_can_have_is_left_out() {
        let mut headers = HeaderMap::new();
        set(&mut headers, X_REQUEST_ID, "a\nb".to_owned());
        assert!(headers.is_empty());
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
