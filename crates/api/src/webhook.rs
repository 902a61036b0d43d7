//! Webhook endpoints, deliveries and messages.

use api_macros::{Request, Response};
use ids::{Change, DeliveryId, EndpointId, PartnerId};
use serde::Serialize;
use time::OffsetDateTime;
use webhooks::{
    AddressPolicy, Delivery, DeliveryStatus, DisabledReason, Endpoint, EndpointChanges,
    EndpointDraft, EndpointUrl, EventKind, EventKinds, LastAnswer, WebhookSecret,
};

use crate::{
    Time,
    wire::{
        EndpointStatus, FailedStatus, MessageType, NotNull, Present, Url, WebhookSecretText, Whole,
    },
};

/// A webhook endpoint, without its secret.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "WebhookEndpoint")]
pub struct EndpointView {
    /// The id of the endpoint.
    id: EndpointId,
    /// The partner that the endpoint belongs to.
    partner_id: PartnerId,
    /// The URL to which messages are sent: `https`, on the public internet, at most 2048 characters.
    #[api(as = Url, example = "https://hooks.acme.example/molecule")]
    url: String,
    /// The events of which messages are sent.
    #[api(as = EventKinds)]
    events: Vec<&'static str>,
    /// Whether messages are sent: a disabled endpoint gets none.
    #[api(as = EndpointStatus)]
    status: &'static str,
    /// The time at which the endpoint was created.
    created_at: Time,
    /// The time at which the endpoint was disabled.
    disabled_at: Option<Time>,
    /// Why it is disabled: its receiver answered 410, nothing was delivered for a day and 100 attempts, or you have
    /// paused it. `null` while it is active.
    #[api(as = Option<DisabledReason>)]
    disabled_reason: Option<&'static str>,
    /// The time until which messages are also signed with the previous secret.
    old_secret_expires_at: Option<Time>,
}

impl EndpointView {
    /// The endpoint at `now`.
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
            disabled_reason: endpoint.disabled_reason.map(DisabledReason::as_str),
            old_secret_expires_at: endpoint.overlap(now).map(Time),
        }
    }
}

/// A webhook endpoint with its new secret, which is shown only once.
#[derive(Serialize, Response)]
#[api(name = "IssuedWebhookEndpoint")]
pub struct NewEndpointView<'a> {
    /// The secret that signs messages: `whsec_` and base64. It is shown only once; store it safely.
    #[api(as = WebhookSecretText)]
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

/// The result of the last attempt to deliver a message.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "DeliveryAnswer")]
struct AnswerView {
    /// The time at which the attempt ended.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    at: Time,
    /// The HTTP status of the response; `null` if there was none.
    #[api(as = Option<Whole<100, 999>>, example = 503)]
    status_code: Option<u16>,
    /// The beginning of the response's body.
    #[api(example = "try later")]
    excerpt: Option<String>,
    /// Why the attempt failed; `null` if it succeeded.
    #[api(example = "answered 503: a message counts as taken when the answer is 2xx")]
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

/// The delivery of a message to a webhook endpoint.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "WebhookDelivery")]
pub struct DeliveryView {
    /// The id of the delivery, and the `webhook-id` of its message in every attempt.
    id: DeliveryId,
    /// The endpoint to which the message is sent.
    endpoint_id: EndpointId,
    /// The event that the message reports.
    #[api(as = MessageType)]
    r#type: &'static str,
    /// The status of the delivery.
    #[api(as = DeliveryStatus)]
    status: &'static str,
    /// The number of attempts.
    #[api(example = 1)]
    attempts: u32,
    /// The result of the last attempt; `null` before the first.
    #[api(as = Present<AnswerView>)]
    last_answer: Option<AnswerView>,
    /// The time of the next attempt; `null` if there is none.
    #[api(example = "2026-04-23T08:00:09.250000Z")]
    next_attempt_at: Option<Time>,
    /// The time at which the message was created.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    created_at: Time,
    /// The time at which the receiver accepted the message.
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

/// The data of a test message.
#[derive(Debug, Serialize, Response)]
#[api(name = "WebhookTest")]
pub struct TestView {
    /// The endpoint that is tested.
    pub endpoint_id: EndpointId,
}

/// The body of a message to a webhook endpoint.
#[derive(Serialize, Response)]
#[api(name = format!("{}Message", T::name()))]
pub(crate) struct MessageView<T> {
    /// The event that the message reports.
    #[api(as = MessageType)]
    r#type: &'static str,
    /// The time of the event.
    timestamp: Time,
    /// The resource as it was at the time of the event.
    data: T,
}

/// An endpoint to which nothing more is sent. Its URL may be a secret of its receiver.
#[derive(Debug, Serialize, Response)]
#[api(name = "DisabledWebhookEndpoint")]
pub struct DisabledEndpointView {
    /// The endpoint that is disabled.
    endpoint_id: EndpointId,
    /// Why it is disabled.
    #[api(as = Present<DisabledReason>)]
    disabled_reason: Option<&'static str>,
    /// The time at which it was disabled.
    #[api(as = Present<Time>)]
    disabled_at: Option<Time>,
}

impl DisabledEndpointView {
    /// The endpoint.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        Self {
            endpoint_id: endpoint.id,
            disabled_reason: endpoint.disabled_reason.map(DisabledReason::as_str),
            disabled_at: endpoint.disabled_at.map(Time),
        }
    }
}

/// The body of a message to an endpoint: what happened, when, and the resource as it was then.
#[must_use]
pub fn message_body(kind: EventKind, at: OffsetDateTime, data: &impl Serialize) -> String {
    let body = MessageView {
        r#type: kind.as_str(),
        timestamp: Time(at),
        data,
    };
    // None of the views refuses to be written; an empty object would say so if one did.
    serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_owned())
}

/// A webhook endpoint to create.
#[derive(Request)]
#[api(like = EndpointView, context = AddressPolicy)]
pub struct NewWebhookEndpoint {
    url: EndpointUrl,
    events: EventKinds,
}

impl From<NewWebhookEndpoint> for EndpointDraft {
    fn from(asked: NewWebhookEndpoint) -> Self {
        Self {
            url: asked.url,
            events: asked.events,
        }
    }
}

/// Changes to a webhook endpoint, as a merge patch (RFC 7396): a field that is left out stays as it is.
#[derive(Request)]
#[api(like = EndpointView, context = AddressPolicy)]
pub struct WebhookEndpointChanges {
    url: NotNull<EndpointUrl>,
    events: NotNull<EventKinds>,
    /// `false` pauses the endpoint; `true` or `null` enables it again, whatever it was disabled for.
    #[api(example = true)]
    enabled: Change<bool>,
}

impl From<WebhookEndpointChanges> for EndpointChanges {
    fn from(asked: WebhookEndpointChanges) -> Self {
        Self {
            url: asked.url.0,
            events: asked.events.0,
            enabled: asked.enabled,
        }
    }
}

/// Which messages to send again.
#[derive(Request)]
pub struct Redelivery {
    /// Those created at this time or later.
    since: Time,
    /// Those created before this time.
    #[api(example = "2099-01-01T00:00:00Z")]
    until: Option<Time>,
    /// Those with this status.
    status: FailedStatus,
}

impl Redelivery {
    /// Between which times the messages were created.
    #[must_use]
    pub fn created(self) -> (OffsetDateTime, Option<OffsetDateTime>) {
        let FailedStatus = self.status;
        (self.since.0, self.until.map(|until| until.0))
    }
}

/// How many messages are sent again.
#[derive(Clone, Copy, Debug, Serialize, Response)]
#[api(name = "RedeliveryCount")]
pub struct RedeliveryView {
    /// The number of messages, 1000 at the most.
    #[api(as = Whole<0, 1000>, example = 7)]
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::{Request as _, wire::tests};

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let read = NewWebhookEndpoint::from_body(body.as_bytes(), &AddressPolicy::Public);
        assert_eq!(tests::pointers(read), pointers, "{body}");
    }

    #[test]
    fn errors_point_to_the_field() {
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
            r#"{"type":"org.ready","timestamp":"2026-04-23T08:00:00.000000Z","data":["x"]}"#
        );
    }
}
