//! Headers of responses.

use serde_json::{Value, json};
use utoipa::openapi::{Ref, header::HeaderBuilder};

use super::Who;
use crate::wire::{AnySchema, Components, RequestIdText, WireType, matching, one_of};
use ids::EventId;

/// A header of responses.
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
    /// `Deprecation`.
    Deprecation,
    /// `Sunset`.
    Sunset,
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
        Self::Deprecation,
        Self::Sunset,
    ];

    /// What responses to a partner key have whose secret has a successor.
    pub(super) const fn of_older_secrets(who: Who) -> &'static [Self] {
        match who {
            Who::Anyone | Who::Admin => &[],
            Who::Partner(_) | Who::Any => &[Self::Deprecation, Self::Sunset],
        }
    }

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
            Self::Deprecation => "Deprecation",
            Self::Sunset => "Sunset",
        }
    }

    /// A reference to its description.
    pub(super) fn reference(self) -> Ref {
        Ref::new(format!("#/components/headers/{}", self.name()))
    }

    /// Its description.
    pub(super) fn header(self) -> utoipa::openapi::Header {
        let unused = &mut Components::new();
        let text = || String::schema(&mut Components::new());
        let (schema, example, description): (AnySchema, Value, _) = match self {
            Self::RequestId => (
                RequestIdText::schema(unused),
                RequestIdText::example(),
                "The id of the request: the client's own if it is valid, otherwise the server's.",
            ),
            Self::AuditEventId => (
                EventId::schema(unused),
                json!("evt_01J9ZK6V3QG8W0T5N4R2M7XACD"),
                "The id of the audit event of this request.",
            ),
            Self::RateLimitPolicy => (
                text(),
                json!("\"key\";q=600;w=60"),
                "The rate limits that the request counted against \
                 (draft-ietf-httpapi-ratelimit-headers-11).",
            ),
            Self::RateLimit => (
                text(),
                json!("\"key\";r=599;t=1"),
                "What remains of the rate limits, and the seconds until they are full again.",
            ),
            Self::RetryAfter => (
                matching("^[1-9][0-9]*$").into(),
                json!("1"),
                "The seconds to wait before the next attempt.",
            ),
            Self::PreferenceApplied => (
                matching("^wait=([0-9]|[1-4][0-9]|50)$").into(),
                json!("wait=30"),
                "The longest time that the response was held, in seconds, where `Prefer` asked for it.",
            ),
            Self::Location => (
                text(),
                json!("/cp/orgs/org_01J9ZK6V3QG8W0T5N4R2M7XACD"),
                "The path of the new resource.",
            ),
            Self::WwwAuthenticate => (
                text(),
                json!("Bearer realm=\"cp\""),
                "The challenge (RFC 6750).",
            ),
            Self::IdempotencyReplayed => (
                one_of(["true"]).into(),
                json!("true"),
                "Present if this is the response to an earlier request with the same Idempotency-Key.",
            ),
            Self::Deprecation => (
                matching("^@[0-9]+$").into(),
                json!("@1776931200"),
                "Present if the key has a newer secret than that of the request: since when (RFC 9745).",
            ),
            Self::Sunset => (
                text(),
                json!("Fri, 24 Apr 2026 08:00:00 GMT"),
                "Present together with `Deprecation`: from when on the secret is refused (RFC 8594).",
            ),
        };
        HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description))
            .example(Some(example))
            .build()
    }
}
