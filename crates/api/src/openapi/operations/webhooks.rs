//! Calls about webhook endpoints.

use super::{Operation, Success, Tag, success};
use crate::openapi::{Body, Header, Param, Shape};

/// Make an endpoint.
pub const WEBHOOK_CREATE: Operation = Operation {
    id: "createWebhookEndpoint",
    tag: Tag::Webhooks,
    summary: "Create a webhook endpoint",
    detail: "Messages follow Standard Webhooks 1.0.0: a `POST` of `{type, timestamp, data}`, where \
             `data` is the org or the key as it was then, signed in the headers `webhook-id`, \
             `webhook-timestamp` and `webhook-signature`. The secret to check them with stands in \
             `secret`, this once. A message counts as taken when the answer is 2xx within 20 seconds; \
             else it is tried again for about three days; 410 ends the endpoint. `url` must be `https` \
             and lead to the public internet. A partner has at most 16 endpoints.",
    query: &[],
    body: Some(Body::NewWebhookEndpoint),
    answers: &[Success {
        headers: &[Header::Location],
        ..success(
            201,
            "The new endpoint, with its secret.",
            Shape::IssuedWebhookEndpoint,
        )
    }],
    refusals: &[],
};

/// List endpoints.
pub const WEBHOOK_LIST: Operation = Operation {
    id: "listWebhookEndpoints",
    tag: Tag::Webhooks,
    summary: "List the partner's webhook endpoints",
    detail: "",
    query: &[Param::Limit, Param::Cursor],
    body: None,
    answers: &[success(
        200,
        "One page of the endpoints.",
        Shape::WebhookEndpoints,
    )],
    refusals: &[],
};

/// Read an endpoint.
pub const WEBHOOK_READ: Operation = Operation {
    id: "getWebhookEndpoint",
    tag: Tag::Webhooks,
    summary: "Read a webhook endpoint",
    detail: "",
    query: &[],
    body: None,
    answers: &[success(200, "The endpoint.", Shape::WebhookEndpoint)],
    refusals: &[],
};

/// Take an endpoint away.
pub const WEBHOOK_DELETE: Operation = Operation {
    id: "deleteWebhookEndpoint",
    tag: Tag::Webhooks,
    summary: "Delete a webhook endpoint",
    detail: "Nothing more is sent to it, and its deliveries go with it.",
    query: &[],
    body: None,
    answers: &[success(204, "The endpoint is gone.", Shape::Nothing)],
    refusals: &[],
};

/// Give an endpoint a new secret.
pub const WEBHOOK_ROTATE: Operation = Operation {
    id: "rotateWebhookSecret",
    tag: Tag::Webhooks,
    summary: "Give a webhook endpoint a new secret",
    detail: "For 24 hours messages carry two signatures, one of the new secret and one of the secret \
             before, so that the receiver can change over in between. The new secret stands in \
             `secret`, this once.",
    query: &[],
    body: Some(Body::Empty),
    answers: &[success(
        200,
        "The endpoint, with its new secret.",
        Shape::IssuedWebhookEndpoint,
    )],
    refusals: &[],
};

/// Send a message that tells of nothing.
pub const WEBHOOK_TEST: Operation = Operation {
    id: "testWebhookEndpoint",
    tag: Tag::Webhooks,
    summary: "Send a test message to a webhook endpoint",
    detail: "A message of type `webhook.test`, tried once; look at the endpoint's deliveries for how it \
             went. An endpoint that is disabled is active again when it takes the message.",
    query: &[],
    body: Some(Body::Empty),
    answers: &[success(
        200,
        "The delivery, on its way.",
        Shape::WebhookDelivery,
    )],
    refusals: &[],
};

/// List deliveries.
pub const DELIVERY_LIST: Operation = Operation {
    id: "listWebhookDeliveries",
    tag: Tag::Webhooks,
    summary: "List the deliveries to a webhook endpoint",
    detail: "They are kept for 30 days after their end.",
    query: &[Param::Limit, Param::Cursor],
    body: None,
    answers: &[success(
        200,
        "One page of the deliveries.",
        Shape::WebhookDeliveries,
    )],
    refusals: &[],
};

/// Send a message again.
pub const DELIVERY_REDELIVER: Operation = Operation {
    id: "redeliverWebhook",
    tag: Tag::Webhooks,
    summary: "Send a message again",
    detail: "At once, whether it was taken, given up or is still being tried, with the same \
             `webhook-id` and the same body, and again by the schedule from its beginning.",
    query: &[],
    body: Some(Body::Empty),
    answers: &[success(
        200,
        "The delivery, on its way.",
        Shape::WebhookDelivery,
    )],
    refusals: &[],
};
