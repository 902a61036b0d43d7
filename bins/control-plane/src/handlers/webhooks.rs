//! `/cp/webhook-endpoints`.

use ::webhooks::{Delivery, Endpoint, WebhookSecret};
use api::{
    DeliveryView, EmptyBody, EndpointView, NewEndpointView, NewWebhookEndpoint, Redelivery,
    RedeliveryView, Request as _, WebhookEndpointChanges,
    openapi::{Body, Content, Header, Operation, Success, Tag},
};
use ids::EndpointId;
use service::Rendered;
use time::OffsetDateTime;

use super::{json, page, rendered};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const WEBHOOK_CREATE: Operation = Operation {
    detail: "Messages follow Standard Webhooks 1.0.0: a `POST` of `{type, timestamp, data}`, where `data` is the \
             org or the key at the time of the event, signed in the headers `webhook-id`, `webhook-timestamp` and \
             `webhook-signature`. The response has the secret that verifies the signatures in `secret`; it is \
             shown only once. A message is delivered when the receiver answers 2xx within 20 seconds. Otherwise \
             it is retried for about three days. An endpoint is disabled when its receiver answers 410, or when \
             nothing was delivered for a day and 100 attempts; your other endpoints get the message \
             `webhook.disabled` then. `url` must be `https` and lead to the \
             public internet. A partner has at most 16 endpoints.",
    body: Some(Body::of::<NewWebhookEndpoint>()),
    ..Operation::new(
        "createWebhookEndpoint",
        Tag::Webhooks,
        "Create a webhook endpoint",
        &[
            Success::new(201, "The new endpoint, with its secret.", WITH_SECRET)
                .headers(&[Header::Location]),
        ],
    )
};

const WITH_SECRET: Content = Content::json::<NewEndpointView<'static>>();

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let (now, reach) = (
        request.context.request.at,
        request.service().webhook_address_policy(),
    );
    let asked = request.json(|body| NewWebhookEndpoint::from_body(body, &reach))?;
    let render = move |endpoint: &Endpoint, secret: &WebhookSecret| Rendered {
        location: Some(format!("/cp/webhook-endpoints/{}", endpoint.id)),
        ..with_secret(endpoint, secret, now)
    };
    let answer = request
        .service()
        .webhook_create(&request.context, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const WEBHOOK_LIST: Operation = Operation::new(
    "listWebhookEndpoints",
    Tag::Webhooks,
    "List the webhook endpoints of the partner",
    &[Success::new(
        200,
        "A page of endpoints.",
        Content::list::<EndpointView>(),
    )],
);

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let now = request.context.request.at;
    let ((), params) = request.list("webhook endpoints")?;
    let answer = request
        .service()
        .webhook_list(&request.context, params.page)
        .await?;
    page(answer, &params, |endpoint| EndpointView::new(endpoint, now))
}

pub const WEBHOOK_READ: Operation = Operation::new(
    "getWebhookEndpoint",
    Tag::Webhooks,
    "Read a webhook endpoint",
    &[Success::new(
        200,
        "The endpoint.",
        Content::json::<EndpointView>(),
    )],
);

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .webhook_read(&request.context, request.id()?)
        .await?;
    json(answer, |endpoint| {
        EndpointView::new(endpoint, request.context.request.at)
    })
}

pub const WEBHOOK_UPDATE: Operation = Operation {
    detail: "With `enabled: false` the endpoint is paused: it gets no messages, and what was pending fails. With \
             `enabled: true` it is active again, also after it was disabled because its receiver was gone or \
             failing; then send what was pending with `POST …/redeliver`. What happened meanwhile has no message.",
    body: Some(Body::of::<WebhookEndpointChanges>()),
    ..Operation::new(
        "updateWebhookEndpoint",
        Tag::Webhooks,
        "Change a webhook endpoint",
        &[Success::new(
            200,
            "The changed endpoint.",
            Content::json::<EndpointView>(),
        )],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let reach = request.service().webhook_address_policy();
    let changes = request.json(|body| WebhookEndpointChanges::from_body(body, &reach))?;
    let answer = request
        .service()
        .webhook_update(&request.context, request.id()?, changes.into())
        .await?;
    json(answer, |endpoint| {
        EndpointView::new(endpoint, request.context.request.at)
    })
}

pub const WEBHOOK_DELETE: Operation = Operation {
    detail: "No more messages are sent to it. Its deliveries are deleted too.",
    ..Operation::new(
        "deleteWebhookEndpoint",
        Tag::Webhooks,
        "Delete a webhook endpoint",
        &[Success::empty(204, "The endpoint is deleted.")],
    )
};

pub async fn delete(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .webhook_delete(&request.context, request.id()?)
        .await?;
    Ok(AuditedResponse::empty(&answer))
}

pub const WEBHOOK_ROTATE: Operation = Operation {
    detail: "For 24 hours messages have two signatures, one with the new and one with the previous secret, so that \
             the receiver can change over. The response has the new secret in `secret`; it is shown only once.",
    body: Some(Body::optional::<EmptyBody>()),
    ..Operation::new(
        "rotateWebhookSecret",
        Tag::Webhooks,
        "Replace the secret of a webhook endpoint",
        &[Success::new(
            200,
            "The endpoint, with its new secret.",
            WITH_SECRET,
        )],
    )
};

pub async fn rotate(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let now = request.context.request.at;
    let render =
        move |endpoint: &Endpoint, secret: &WebhookSecret| with_secret(endpoint, secret, now);
    let answer = request
        .service()
        .webhook_rotate(&request.context, request.id()?, render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const WEBHOOK_TEST: Operation = Operation {
    detail: "Sends a message of type `webhook.test`, without retries. The deliveries of the endpoint show the \
             result. A disabled endpoint becomes active again when it accepts the message.",
    body: Some(Body::optional::<EmptyBody>()),
    ..Operation::new(
        "testWebhookEndpoint",
        Tag::Webhooks,
        "Send a test message to a webhook endpoint",
        DELIVERY,
    )
};

const DELIVERY: &[Success] = &[Success::new(
    200,
    "The pending delivery.",
    Content::json::<DeliveryView>(),
)];

pub async fn test(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let answer = request
        .service()
        .webhook_test(&request.context, request.id()?, delivery)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const DELIVERY_LIST: Operation = Operation {
    detail: "Deliveries are kept for 30 days after they succeeded or were given up.",
    ..Operation::new(
        "listWebhookDeliveries",
        Tag::Webhooks,
        "List the deliveries to a webhook endpoint",
        &[Success::new(
            200,
            "A page of deliveries.",
            Content::list::<DeliveryView>(),
        )],
    )
};

pub async fn deliveries(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let of = request
        .id::<EndpointId>()
        .map_or_else(|_| String::new(), |id| id.to_string());
    let ((), params) = request.list(&format!("deliveries to {of}"))?;
    let answer = request
        .service()
        .delivery_list(&request.context, request.id()?, params.page)
        .await?;
    page(answer, &params, DeliveryView::from)
}

pub const DELIVERIES_REDELIVER: Operation = Operation {
    detail: "Up to 1000 failed messages at once, the oldest first, each from the beginning of its schedule. Test \
             messages are left out. Repeat the request until `count` is 0.",
    body: Some(Body::of::<Redelivery>()),
    ..Operation::new(
        "redeliverFailedWebhooks",
        Tag::Webhooks,
        "Send failed messages again",
        &[Success::new(
            202,
            "The messages are sent again.",
            Content::json::<RedeliveryView>(),
        )],
    )
};

pub async fn redeliver_failed(
    request: AuthenticatedRequest,
) -> Result<AuditedResponse, HandlerError> {
    let created = request
        .json(|body| Redelivery::from_body(body, &()))?
        .created();
    let render = |count: &usize| rendered(&RedeliveryView { count: *count });
    let answer = request
        .service()
        .deliveries_redeliver(&request.context, request.id()?, created, render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const DELIVERY_REDELIVER: Operation = Operation {
    detail: "Sends the message again at once, whether it was delivered, given up or is still being retried, with \
             the same `webhook-id` and the same body. The schedule of retries starts again.",
    body: Some(Body::optional::<EmptyBody>()),
    ..Operation::new(
        "redeliverWebhook",
        Tag::Webhooks,
        "Send a message again",
        DELIVERY,
    )
};

pub async fn redeliver(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let (endpoint, wanted) = (request.id()?, request.named_id("delivery")?);
    let answer = request
        .service()
        .delivery_redeliver(&request.context, endpoint, wanted, delivery)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

fn with_secret(endpoint: &Endpoint, secret: &WebhookSecret, now: OffsetDateTime) -> Rendered {
    NewEndpointView::show(endpoint, secret, now, |view| rendered(view))
}

fn delivery(delivery: &Delivery) -> Rendered {
    rendered(&DeliveryView::from(delivery.clone()))
}
