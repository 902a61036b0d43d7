//! Parameters of queries, paths and headers.

use audit::{Action, Outcome};
use ids::{MAX_LABELS, Name, OrgId, PartnerId};
use keys::KeyStatus;
use orgs::{OrgStatus, Slug};
use serde_json::json;
use utoipa::openapi::{
    Required,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
};

use crate::{
    Time,
    wire::{
        ActorIdText, AnySchema, Components, CursorText, RequestIdText, WireType, label_parameter,
        list, matching, whole,
    },
};

/// A parameter of a query, or a header that few calls know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// How many items a page has.
    Limit,
    /// Where a page begins.
    Cursor,
    /// Keys of this status.
    KeyStatus,
    /// Of this partner.
    PartnerId,
    /// Orgs of this status.
    OrgStatus,
    /// The org of this slug.
    Slug,
    /// Orgs that the partner calls this.
    ExternalId,
    /// Orgs with this label.
    Label,
    /// The label of the orgs to delete; required.
    DeletionLabel,
    /// Whether only to tell what would be done.
    DryRun,
    /// The header that asks to hold the answer.
    Prefer,
    /// The header that asks for the receipt of a revocation.
    PreferReceipt,
    /// Events by this key.
    ActorId,
    /// Events about this org.
    OrgId,
    /// Events of this action.
    Action,
    /// Events that ended so.
    Outcome,
    /// Events of this request.
    RequestId,
    /// Events from this time on.
    Since,
    /// Events before this time.
    Until,
}

impl Param {
    /// The parameter.
    pub(super) fn parameter(self) -> Parameter {
        let (name, schema, description): (_, AnySchema, _) = match self {
            Self::Limit => ("limit", limit(), "The most items of the page."),
            Self::Cursor => (
                "cursor",
                of::<CursorText>(),
                "`next_cursor` of the previous page. It is valid for the same list with the same filters.",
            ),
            Self::KeyStatus => ("status", of::<KeyStatus>(), "Only keys with this status."),
            Self::PartnerId => (
                "partner_id",
                of::<PartnerId>(),
                "Only items of this partner. For admins.",
            ),
            Self::OrgStatus => (
                "status",
                of::<OrgStatus>(),
                "Only orgs with this status. Without it, deleted orgs are left out.",
            ),
            Self::Slug => ("slug", of::<Slug>(), "Only the org with this slug."),
            Self::ExternalId => (
                "external_id",
                of::<Name>(),
                "Only orgs with this `external_id`.",
            ),
            Self::Label => (
                "label",
                list(label_parameter(0), None, Some(MAX_LABELS)).into(),
                "Only orgs with this label, as `key:value`. Repeat it to require several labels.",
            ),
            Self::DeletionLabel => (
                "label",
                list(label_parameter(1), Some(1), Some(MAX_LABELS)).into(),
                "The orgs with this label, as `key:value` with a value that is not empty. Repeat it to \
                 require several labels.",
            ),
            Self::DryRun => (
                "dry_run",
                of::<bool>(),
                "With `true`, nothing is deleted: the response lists what would be.",
            ),
            Self::Prefer => (
                "Prefer",
                of::<String>(),
                "With `wait=N` (RFC 7240) the response is held for up to N seconds, at most 50, while work is \
                 pending, until the status changes. Unknown preferences are ignored.",
            ),
            Self::PreferReceipt => (
                "Prefer",
                of::<String>(),
                "With `wait=N` (RFC 7240) the response is held for up to N seconds, at most 30, until every live \
                 instance has confirmed the revocation, and has a receipt. Unknown preferences are ignored.",
            ),
            Self::ActorId => (
                "key_id",
                of::<ActorIdText>(),
                "Only events of requests with this key.",
            ),
            Self::OrgId => ("org_id", of::<OrgId>(), "Only events about this org."),
            Self::Action => ("action", of::<Action>(), "Only events with this action."),
            Self::Outcome => ("outcome", of::<Outcome>(), "Only events with this outcome."),
            Self::RequestId => (
                "request_id",
                of::<RequestIdText>(),
                "Only the events of the request with this `X-Request-Id`.",
            ),
            Self::Since => ("since", of::<Time>(), "Only events at this time or later."),
            Self::Until => ("until", of::<Time>(), "Only events before this time."),
        };
        let builder = ParameterBuilder::new()
            .name(name)
            .parameter_in(if matches!(self, Self::Prefer | Self::PreferReceipt) {
                ParameterIn::Header
            } else {
                ParameterIn::Query
            })
            .required(if self == Self::DeletionLabel {
                Required::True
            } else {
                Required::False
            })
            .description(Some(description))
            .schema(Some(schema));
        if matches!(self, Self::Label | Self::DeletionLabel) {
            builder
                .style(Some(ParameterStyle::Form))
                .explode(Some(true))
                .build()
        } else {
            builder.build()
        }
    }
}

/// The schema of a type that has no name.
pub(super) fn of<T: WireType>() -> AnySchema {
    T::schema(&mut Components::new())
}

fn limit() -> AnySchema {
    let mut limit = whole(1, crate::list::MAX_LIMIT);
    limit.default = Some(json!(crate::list::DEFAULT_LIMIT));
    limit.into()
}

/// A parameter of the path.
pub(super) fn path(name: &str, schema: AnySchema, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// `Idempotency-Key`, of every POST.
pub(super) fn idempotency_key() -> Parameter {
    // Bare, or a quoted string without escapes.
    let form = matching(
        r#"^([\u0021\u0023-\u007e]{1,255}|"[\u0020\u0021\u0023-\u005b\u005d-\u007e]{1,255}")$"#,
    );
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the request safe to repeat: for 24 hours, the same key with the same body has the same \
             response. Use a new UUID for each new request.",
        ))
        .schema(Some(form))
        .build()
}
