//! The forms of the values on the wire, as schemas.
//!
//! A form stands beside the reader or the view that it describes; the tests of this module hold the
//! two together.

pub(crate) mod of;

use audit::Action;
use ids::TypedId;
use scopes::Scope;
use serde_json::Value;
use utoipa::openapi::{
    Array, ArrayBuilder, KnownFormat, Object, ObjectBuilder, RefOr, Schema, SchemaFormat,
    schema::{AdditionalProperties, SchemaType, Type},
};
use webhooks::EventKind;

/// Characters of a text that are not control characters.
const PLAIN: &str = r"[^\u0000-\u001f\u007f-\u009f]";

/// The form of ids of a kind: a prefix and a ULID in its canonical spelling.
pub(crate) fn id_pattern(prefix: &str) -> String {
    format!("^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$")
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A string of a fixed form.
pub(crate) fn matching(pattern: impl Into<String>) -> Object {
    string().pattern(Some(pattern)).build()
}

/// Ids of one kind.
pub(crate) fn id<I: TypedId>() -> Object {
    matching(id_pattern(I::PREFIX))
}

/// One of these words.
pub(crate) fn one_of(words: impl IntoIterator<Item = &'static str>) -> Object {
    string().enum_values(Some(words)).build()
}

/// A whole number within bounds.
pub(crate) fn whole(min: usize, max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min))
        .maximum(Some(max))
        .build()
}

/// `true` or `false`.
pub(crate) fn boolean() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).build()
}

/// Any text; nothing more is promised of it.
pub(crate) fn text() -> Object {
    string().build()
}

/// A list with at least so many items.
pub(crate) fn list(of: impl Into<RefOr<Schema>>, min: Option<usize>, max: Option<usize>) -> Array {
    ArrayBuilder::new()
        .items(of.into())
        .min_items(min)
        .max_items(max)
        .build()
}

/// What can be made nullable.
pub(crate) trait OrNull {
    /// The same, or `null`.
    fn or_null(self) -> Schema;
}

impl OrNull for Object {
    fn or_null(mut self) -> Schema {
        self.schema_type = with_null(self.schema_type);
        if let Some(values) = &mut self.enum_values {
            values.push(Value::Null);
        }
        Schema::Object(self)
    }
}

impl OrNull for Array {
    fn or_null(mut self) -> Schema {
        self.schema_type = with_null(self.schema_type);
        Schema::Array(self)
    }
}

fn with_null(types: SchemaType) -> SchemaType {
    match types {
        SchemaType::Type(one) => SchemaType::Array(vec![one, Type::Null]),
        SchemaType::Array(mut several) => {
            several.push(Type::Null);
            SchemaType::Array(several)
        }
        SchemaType::AnyValue => SchemaType::AnyValue,
    }
}

/// A name or another short string, [`ids::Name`].
pub(crate) fn name() -> Object {
    string()
        .pattern(Some(format!("^{PLAIN}+$")))
        .min_length(Some(1))
        .max_length(Some(200))
        .build()
}

/// A slug, [`orgs::Slug`].
pub(crate) fn slug() -> Object {
    string()
        .pattern(Some("^[a-z](-?[a-z0-9])+$"))
        .min_length(Some(3))
        .max_length(Some(32))
        .build()
}

/// A plan of an org, [`ids::PlanName`]; which there are is the operator's choice.
pub(crate) fn plan() -> Object {
    matching("^[a-z][a-z0-9_-]{0,31}$")
}

/// A plan of a partner, [`keys::PartnerPlan`].
pub(crate) fn partner_plan() -> Object {
    one_of(["free", "standard", "partner", "enterprise"])
}

/// A time, RFC 3339.
pub(crate) fn time() -> Object {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

/// A label's key and value as a query takes them.
pub(crate) fn label() -> Object {
    matching(format!("^{}:{PLAIN}{{0,255}}$", label_key()))
}

/// A label whose value is not empty.
pub(crate) fn label_with_value() -> Object {
    matching(format!("^{}:{PLAIN}{{1,255}}$", label_key()))
}

fn label_key() -> &'static str {
    "[a-z0-9][a-z0-9_.-]{0,62}"
}

fn label_map(value: impl Into<Schema>, max: Option<usize>) -> Object {
    ObjectBuilder::new()
        .property_names(Some(matching(format!("^{}$", label_key()))))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(value.into()))))
        .max_properties(max)
        .build()
}

fn label_value() -> Object {
    string()
        .pattern(Some(format!("^{PLAIN}*$")))
        .max_length(Some(255))
        .build()
}

/// Labels, [`ids::Labels`].
pub(crate) fn labels() -> Object {
    label_map(label_value(), Some(ids::MAX_LABELS))
}

/// A merge patch of labels: `null` takes one away.
pub(crate) fn label_changes() -> Object {
    label_map(label_value().or_null(), None)
}

/// Scopes, [`scopes::ScopeSet`].
pub(crate) fn scopes() -> Array {
    let scope = one_of(Scope::ALL.iter().map(|scope| scope.as_str()));
    list(scope, None, None)
}

/// The plans that a key is held to.
pub(crate) fn plans() -> Array {
    list(plan(), Some(1), None)
}

/// The networks that a key is held to, [`keys::Networks`].
pub(crate) fn networks() -> Array {
    list(network(), Some(1), Some(64))
}

/// A network in CIDR notation or one address. A pattern could not say that no bits are set beyond the
/// prefix.
fn network() -> Object {
    string()
        .format(Some(SchemaFormat::Custom("cidr".to_owned())))
        .build()
}

/// How many orgs there may be.
pub(crate) fn org_count() -> Object {
    whole(0, 1_000_000_000)
}

/// How long a lease lasts, [`orgs::Ttl`].
pub(crate) fn ttl() -> Object {
    whole(60, 2_592_000)
}

/// The status of an org, [`orgs::OrgStatus`].
pub(crate) fn org_status() -> Object {
    one_of([
        "provisioning",
        "ready",
        "failed",
        "suspended",
        "deprovisioning",
        "deleted",
    ])
}

/// The status of a key, [`keys::KeyStatus`].
pub(crate) fn key_status() -> Object {
    one_of(["active", "disabled", "expired", "revoked"])
}

/// What becomes of a key's orgs when it is revoked.
pub(crate) fn on_revoke() -> Object {
    one_of(["keep", "delete"])
}

/// The status of a subscription, [`orgs::SubscriptionStatus`].
pub(crate) fn subscription_status() -> Object {
    one_of(["trialing", "active", "past_due", "canceled"])
}

/// What can be done, [`audit::Action`].
pub(crate) fn action() -> Object {
    one_of(Action::ALL.iter().map(|action| action.as_str()))
}

/// What an endpoint can listen to, [`webhooks::EventKind`].
pub(crate) fn event_kind() -> Object {
    one_of(EventKind::OFFERED.iter().map(|kind| kind.as_str()))
}

/// What a message can be about: also that a partner tries its receiver.
pub(crate) fn message_type() -> Object {
    let kinds = EventKind::OFFERED.iter().chain([&EventKind::Test]);
    one_of(kinds.map(|kind| kind.as_str()))
}

/// How an event ended, [`audit::Outcome`].
pub(crate) fn outcome() -> Object {
    one_of(["success", "denied", "failed"])
}

/// A URL.
pub(crate) fn uri() -> Object {
    string()
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .build()
}

/// Any object.
pub(crate) fn any_object() -> Object {
    ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .build()
}
