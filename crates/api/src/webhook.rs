//! Webhook endpoints, deliveries and messages on the wire.

use ids::{DeliveryId, EndpointId, PartnerId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use webhooks::{
    AddressPolicy, Delivery, Endpoint, EndpointDraft, EndpointUrl, EventKind, EventKinds,
    LastAnswer, WebhookSecret,
};

use crate::{
    BodyError, FieldError, Fields, Time,
    fields::{list, parsed},
    openapi::forms::of,
};

/// A webhook endpoint on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub struct EndpointView {
    /// Its id.
    #[schema(schema_with = of::endpoint_id)]
    id: EndpointId,
    /// Whose it is.
    #[schema(schema_with = of::partner_id)]
    partner_id: PartnerId,
    /// Where messages are sent.
    #[schema(schema_with = of::url)]
    url: String,
    /// What they are about.
    #[schema(schema_with = of::event_kinds)]
    events: Vec<&'static str>,
    /// Whether messages are sent.
    #[schema(schema_with = of::endpoint_status)]
    status: &'static str,
    /// When it was made.
    #[schema(schema_with = of::time)]
    created_at: Time,
    /// When its receiver answered 410.
    #[schema(schema_with = of::maybe_time)]
    disabled_at: Option<Time>,
    /// Until when messages are signed with the secret before the last rotation too.
    #[schema(schema_with = of::maybe_time)]
    old_secret_expires_at: Option<Time>,
}

impl EndpointView {
    /// The endpoint as it stands at `now`.
    #[must_use]
    pub fn new(endpoint: Endpoint, now: OffsetDateTime) -> Self {
        Self {
            id: endpoint.id,
            partner_id: endpoint.partner_id,
            url: endpoint.url.to_string(),
            events: endpoint.events.names(),
            status: endpoint.status(),
            created_at: Time(endpoint.created_at),
            disabled_at: endpoint.disabled_at.map(Time),
            old_secret_expires_at: endpoint.overlap(now).map(Time),
        }
    }
}

/// An endpoint that was just made or got a new secret: the one answer that shows it.
#[derive(Serialize)]
pub struct NewEndpointView<'a> {
    secret: &'a str,
    #[serde(flatten)]
    view: EndpointView,
}

impl NewEndpointView<'_> {
    /// Shows an endpoint with its secret to `write`; the text of the secret is wiped afterwards.
    pub fn show<T>(
        endpoint: &Endpoint,
        secret: &WebhookSecret,
        now: OffsetDateTime,
        write: impl FnOnce(&NewEndpointView<'_>) -> T,
    ) -> T {
        let text = secret.expose();
        write(&NewEndpointView {
            secret: &text,
            view: EndpointView::new(endpoint.clone(), now),
        })
    }
}

/// What the last attempt at a delivery brought, on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAnswer)]
struct AnswerView {
    /// When.
    #[schema(schema_with = of::time)]
    at: Time,
    /// The status of HTTP.
    #[schema(schema_with = of::maybe_answer_status)]
    status_code: Option<u16>,
    /// The beginning of the body.
    #[schema(schema_with = of::maybe_text)]
    excerpt: Option<String>,
    /// What is wrong with it.
    #[schema(schema_with = of::maybe_text)]
    error: Option<String>,
}

impl From<LastAnswer> for AnswerView {
    fn from(answer: LastAnswer) -> Self {
        Self {
            at: Time(answer.at),
            status_code: answer.status_code,
            excerpt: answer.excerpt,
            error: answer.error,
        }
    }
}

/// A delivery on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct DeliveryView {
    /// Its id, the message's `webhook-id`.
    #[schema(schema_with = of::delivery_id)]
    id: DeliveryId,
    /// The endpoint that it is for.
    #[schema(schema_with = of::endpoint_id)]
    endpoint_id: EndpointId,
    /// What the message is about.
    #[schema(schema_with = of::message_type)]
    r#type: &'static str,
    /// Where it stands.
    #[schema(schema_with = of::delivery_status)]
    status: &'static str,
    /// How often it was tried.
    #[schema(schema_with = of::attempts)]
    attempts: u32,
    /// What the last attempt brought.
    last_answer: Option<AnswerView>,
    /// When it is tried next.
    #[schema(schema_with = of::maybe_time)]
    next_attempt_at: Option<Time>,
    /// When it was made.
    #[schema(schema_with = of::time)]
    created_at: Time,
    /// When the receiver took it.
    #[schema(schema_with = of::maybe_time)]
    delivered_at: Option<Time>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            r#type: delivery.kind.as_str(),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            last_answer: delivery.last_answer.map(AnswerView::from),
            next_attempt_at: delivery.due_at.map(Time),
            created_at: Time(delivery.created_at),
            delivered_at: delivery.delivered_at.map(Time),
        }
    }
}

/// The body of a message to an endpoint: what happened, when, and the resource as it was then.
#[must_use]
pub fn message_body(kind: EventKind, at: OffsetDateTime, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Body<'a, T> {
        r#type: &'static str,
        timestamp: Time,
        data: &'a T,
    }
    let body = Body {
        r#type: kind.as_str(),
        timestamp: Time(at),
        data,
    };
    // None of the views refuses to be written; an empty object would say so if one did.
    serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_owned())
}

/// Reads the request for an endpoint.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn endpoint_draft(body: &[u8], reach: AddressPolicy) -> Result<EndpointDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let url = fields.required("url", parsed(|text| EndpointUrl::new(text, reach)));
    let events = fields.required("events", |value| {
        let kinds = list(|value| parsed(|text| text.parse::<EventKind>())(value))(value)?;
        EventKinds::new(kinds).map_err(FieldError::here)
    });
    fields
        .build(|| {
            Some(EndpointDraft {
                url: url?,
                events: events?,
            })
        })
        .map_err(BodyError::Invalid)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let told: Vec<_> = match endpoint_draft(body.as_bytes(), AddressPolicy::Public) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(text)) => panic!("{text}"),
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(told, pointers, "{body}");
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        check(
            r#"{"url": "https://hooks.example.com/", "events": ["org.ready", "org.ready"]}"#,
            &[],
        );
        check("{}", &["/url", "/events"]);
        check(
            r#"{"url": "http://10.0.0.1", "events": [], "secret": "whsec_x"}"#,
            &["/url", "/events", "/secret"],
        );
        check(
            r#"{"url": "https://a.example/", "events": ["org.ready", "webhook.test", 1]}"#,
            &["/events/1", "/events/2"],
        );
    }

    #[test]
    fn a_message_says_what_happened_when_and_to_what() {
        let at = datetime!(2026-04-23 08:00 UTC);
        assert_eq!(
            message_body(EventKind::OrgReady, at, &["x"]),
            r#"{"type":"org.ready","timestamp":"2026-04-23T08:00:00Z","data":["x"]}"#
        );
    }
}
