//! Headers of answers.

use serde_json::{Value, json};
use utoipa::openapi::{Ref, header::HeaderBuilder};

use super::forms;

/// A header of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `X-Request-Id`.
    RequestId,
    /// `Audit-Event-Id`.
    AuditEventId,
    /// `RateLimit-Policy`.
    RateLimitPolicy,
    /// `RateLimit`.
    RateLimit,
    /// `Retry-After`.
    RetryAfter,
    /// `Preference-Applied`.
    PreferenceApplied,
    /// `Location`.
    Location,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// `Idempotency-Replayed`.
    IdempotencyReplayed,
}

impl Header {
    /// All of them.
    pub(super) const ALL: &[Self] = &[
        Self::RequestId,
        Self::AuditEventId,
        Self::RateLimitPolicy,
        Self::RateLimit,
        Self::RetryAfter,
        Self::PreferenceApplied,
        Self::Location,
        Self::WwwAuthenticate,
        Self::IdempotencyReplayed,
    ];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RequestId => "X-Request-Id",
            Self::AuditEventId => "Audit-Event-Id",
            Self::RateLimitPolicy => "RateLimit-Policy",
            Self::RateLimit => "RateLimit",
            Self::RetryAfter => "Retry-After",
            Self::PreferenceApplied => "Preference-Applied",
            Self::Location => "Location",
            Self::WwwAuthenticate => "WWW-Authenticate",
            Self::IdempotencyReplayed => "Idempotency-Replayed",
        }
    }

    /// Where its description stands.
    pub(super) fn reference(self) -> Ref {
        Ref::new(format!("#/components/headers/{}", self.name()))
    }

    /// Its description.
    pub(super) fn header(self) -> utoipa::openapi::Header {
        let (form, example, says): (_, Value, _) = match self {
            Self::RequestId => (
                forms::of::request_id(),
                json!("req_01J9ZK6V3QG8W0T5N4R2M7XACD"),
                "The request's id: the client's own if it can be used as it is, else ours.",
            ),
            Self::AuditEventId => (
                forms::of::event_id(),
                json!("evt_01J9ZK6V3QG8W0T5N4R2M7XACD"),
                "The audit event that tells of the call.",
            ),
            Self::RateLimitPolicy => (
                forms::of::text(),
                json!("\"key\";q=600;w=60"),
                "The limits that the call counted against, draft-ietf-httpapi-ratelimit-headers-11.",
            ),
            Self::RateLimit => (
                forms::of::text(),
                json!("\"key\";r=599;t=1"),
                "What is left of them and when they are full again, in seconds.",
            ),
            Self::RetryAfter => (
                forms::matching("^[1-9][0-9]*$").into(),
                json!("1"),
                "How long to wait before the next try, in seconds.",
            ),
            Self::PreferenceApplied => (
                forms::matching("^wait=([0-9]|[1-4][0-9]|50)$").into(),
                json!("wait=30"),
                "For how long the answer was held at the most; stands where `Prefer` asked for it.",
            ),
            Self::Location => (
                forms::of::text(),
                json!("/cp/orgs/org_01J9ZK6V3QG8W0T5N4R2M7XACD"),
                "Where the new resource can be read.",
            ),
            Self::WwwAuthenticate => (
                forms::of::text(),
                json!("Bearer realm=\"cp\""),
                "The challenge, RFC 6750.",
            ),
            Self::IdempotencyReplayed => (
                forms::one_of(["true"]).into(),
                json!("true"),
                "Stands where the answer is that of an earlier call with the same Idempotency-Key.",
            ),
        };
        HeaderBuilder::new()
            .schema(Some(form))
            .description(Some(says))
            .example(Some(example))
            .build()
    }
}
