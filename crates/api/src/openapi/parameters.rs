//! Parameters of queries, paths and headers.

use ids::{OrgId, PartnerId};
use serde_json::json;
use utoipa::openapi::{
    RefOr, Required, Schema,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
};

use super::forms;

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
    /// All orgs with this label; required.
    DoomedLabel,
    /// Whether only to tell what would be done.
    DryRun,
    /// The header that asks to hold the answer.
    Prefer,
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
        let (name, form, says): (_, RefOr<Schema>, _) = match self {
            Self::Limit => ("limit", limit(), "How many items a page has."),
            Self::Cursor => (
                "cursor",
                forms::matching("^[A-Za-z0-9_-]+$").into(),
                "`next_cursor` of the page before. It belongs to one list with one set of filters.",
            ),
            Self::KeyStatus => (
                "status",
                forms::key_status().into(),
                "Keys of this status alone.",
            ),
            Self::PartnerId => (
                "partner_id",
                forms::id::<PartnerId>().into(),
                "What is of this partner alone; for admins.",
            ),
            Self::OrgStatus => (
                "status",
                forms::org_status().into(),
                "Orgs of this status alone. Without it, deleted orgs are left out.",
            ),
            Self::Slug => ("slug", forms::slug().into(), "The org of this slug."),
            Self::ExternalId => (
                "external_id",
                forms::name().into(),
                "Orgs that the partner calls this.",
            ),
            Self::Label => (
                "label",
                forms::list(forms::label(), None, Some(ids::MAX_LABELS)).into(),
                "Orgs with this label, `key:value`; given several times, with all of them.",
            ),
            Self::DoomedLabel => (
                "label",
                forms::list(forms::label_with_value(), Some(1), Some(ids::MAX_LABELS)).into(),
                "The orgs with this label, `key:value`, whose value is not empty; given several times, those with \
                 all of them.",
            ),
            Self::DryRun => (
                "dry_run",
                forms::boolean().into(),
                "With `true` nothing is deleted; the answer tells what would be.",
            ),
            Self::Prefer => (
                "Prefer",
                forms::text().into(),
                "With `wait=N` (RFC 7240) the answer is held while work is pending, until the status \
                 changes, for N seconds and 50 at the most. What is not understood is ignored.",
            ),
            Self::ActorId => (
                "key_id",
                forms::matching("^(pak|adm)_[0-7][0-9A-HJKMNP-TV-Z]{25}$").into(),
                "Events by this key alone.",
            ),
            Self::OrgId => (
                "org_id",
                forms::id::<OrgId>().into(),
                "Events about this org alone.",
            ),
            Self::Action => (
                "action",
                forms::action().into(),
                "Events of this action alone.",
            ),
            Self::Outcome => (
                "outcome",
                forms::outcome().into(),
                "Events that ended so alone.",
            ),
            Self::RequestId => (
                "request_id",
                forms::of::request_id().into(),
                "The events of the request that had this `X-Request-Id`.",
            ),
            Self::Since => (
                "since",
                forms::time().into(),
                "Events at this time or later.",
            ),
            Self::Until => ("until", forms::time().into(), "Events before this time."),
        };
        let builder = ParameterBuilder::new()
            .name(name)
            .parameter_in(if self == Self::Prefer {
                ParameterIn::Header
            } else {
                ParameterIn::Query
            })
            .required(if self == Self::DoomedLabel {
                Required::True
            } else {
                Required::False
            })
            .description(Some(says))
            .schema(Some(form));
        if matches!(self, Self::Label | Self::DoomedLabel) {
            builder
                .style(Some(ParameterStyle::Form))
                .explode(Some(true))
                .build()
        } else {
            builder.build()
        }
    }
}

fn limit() -> RefOr<Schema> {
    let mut limit = forms::whole(1, crate::list::MAX_LIMIT);
    limit.default = Some(json!(crate::list::DEFAULT_LIMIT));
    limit.into()
}

/// What the path names.
pub(super) fn path(name: &str, form: impl Into<RefOr<Schema>>, says: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(says))
        .schema(Some(form))
        .build()
}

/// `Idempotency-Key`, of every POST.
pub(super) fn idempotency_key() -> Parameter {
    // Bare, or a quoted string without escapes.
    let form = forms::matching(
        r#"^([\u0021\u0023-\u007e]{1,255}|"[\u0020\u0021\u0023-\u005b\u005d-\u007e]{1,255}")$"#,
    );
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the call safe to repeat: within 24 hours the same key with the same body gives \
             the same answer. A new UUID for each new call is a good key.",
        ))
        .schema(Some(form))
        .build()
}
