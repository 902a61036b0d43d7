//! The messages that webhook endpoints receive.

use ids::DeliveryId;
use serde_json::{Value, json};
use utoipa::openapi::{
    HttpMethod, Paths, PathsBuilder, Required, ResponseBuilder,
    content::ContentBuilder,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem},
    request_body::RequestBodyBuilder,
};
use webhooks::EventKind;

use super::{Content, Tag};
use crate::{
    DisabledEndpointView, KeyView, LeakedKeyView, OrgView,
    webhook::{MessageView, TestView},
    wire::{AnySchema, Components, WireType as _, matching, string},
};

/// Every kind of message.
fn kinds() -> impl Iterator<Item = EventKind> {
    EventKind::OFFERED.iter().copied().chain([EventKind::Test])
}

/// Adds what the messages consist of.
pub(super) fn schemas(components: &mut Components) {
    for kind in kinds() {
        (content(kind).schema)(components);
    }
}

/// What a message of this kind is about, and when it is sent.
const fn summary(kind: EventKind) -> &'static str {
    match kind {
        EventKind::OrgReady => "An org is ready",
        EventKind::OrgUpdated => "An org was changed, or its change failed",
        EventKind::OrgFailed => "The provisioning of an org failed",
        EventKind::OrgSecretsRotated => "The secrets of an org were replaced",
        EventKind::OrgSuspended => "An org was suspended",
        EventKind::OrgResumed => "An org was resumed",
        EventKind::OrgDeleted => "An org is deleted",
        EventKind::OrgExpiring => "The lease of an org ends soon",
        EventKind::WebhookDisabled => "Another endpoint of the partner was disabled",
        EventKind::KeyLeaked => "The secret of a key was found where it does not belong",
        EventKind::KeyRevoked => "A key was revoked",
        EventKind::KeyRotated => "A key got another secret",
        EventKind::KeyRotationEnded => "One of the two secrets of a key ended",
        EventKind::KeyExpiring => "A key expires soon",
        EventKind::Test => "The partner tests the endpoint",
    }
}

const fn content(kind: EventKind) -> Content {
    match kind {
        EventKind::OrgReady
        | EventKind::OrgUpdated
        | EventKind::OrgFailed
        | EventKind::OrgSecretsRotated
        | EventKind::OrgSuspended
        | EventKind::OrgResumed
        | EventKind::OrgDeleted
        | EventKind::OrgExpiring => Content::json::<MessageView<OrgView>>(),
        EventKind::KeyLeaked => Content::json::<MessageView<LeakedKeyView>>(),
        EventKind::KeyRevoked
        | EventKind::KeyRotated
        | EventKind::KeyRotationEnded
        | EventKind::KeyExpiring => Content::json::<MessageView<KeyView>>(),
        EventKind::WebhookDisabled => Content::json::<MessageView<DisabledEndpointView>>(),
        EventKind::Test => Content::json::<MessageView<TestView>>(),
    }
}

/// The section `webhooks` of the document.
pub(super) fn webhooks() -> Paths {
    let paths = kinds().fold(PathsBuilder::new(), |paths, kind| {
        paths.path(
            kind.as_str(),
            PathItem::new(HttpMethod::Post, operation(kind)),
        )
    });
    paths.build()
}

fn operation(kind: EventKind) -> Operation {
    let content = content(kind);
    let mut example = content.example.map_or(Value::Null, |example| example());
    if let Some(members) = example.as_object_mut() {
        members.insert("type".to_owned(), json!(kind.as_str()));
    }
    let body = ContentBuilder::new()
        .schema(Some((content.schema)(&mut Components::new())))
        .example(Some(example))
        .build();
    let body = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content(content.media_type, body)
        .build();
    let id = kind.as_str().replace('.', "_");
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(Tag::Messages.name())
        .summary(Some(summary(kind)))
        .description(Some(
            "A message to a webhook endpoint, after Standard Webhooks 1.0.0. Verify the signature before \
             you trust the body.",
        ))
        .request_body(Some(body))
        .securities(Some([]));
    for parameter in headers() {
        operation = operation.parameter(parameter);
    }
    for (status, meaning) in [
        ("2XX", "The message is delivered."),
        (
            "410",
            "The message is given up, and the endpoint is disabled.",
        ),
        (
            "default",
            "The message is sent again, for about three days.",
        ),
    ] {
        operation = operation.response(status, ResponseBuilder::new().description(meaning));
    }
    operation.build()
}

fn headers() -> [Parameter; 3] {
    let id = DeliveryId::schema(&mut Components::new());
    let seconds = matching("^[0-9]+$").into();
    let signatures = string().into();
    [
        header(
            "webhook-id",
            "The id of the delivery, the same in every attempt.",
            id,
            DeliveryId::example(),
        ),
        header(
            "webhook-timestamp",
            "The time of the attempt, in seconds since 1970.",
            seconds,
            json!("1776931200"),
        ),
        header(
            "webhook-signature",
            "`v1,` and the base64 of the HMAC-SHA-256 of `{webhook-id}.{webhook-timestamp}.{body}` with the \
             secret of the endpoint. While a secret is replaced there are two, with a space in between.",
            signatures,
            json!("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ),
    ]
}

fn header(name: &str, description: &str, schema: AnySchema, example: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}
