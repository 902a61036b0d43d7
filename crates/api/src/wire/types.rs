//! The types of the domain in JSON.

use std::collections::HashMap;

use audit::{Action, ActorId, Outcome, TargetKind};
use ids::{
    AdminKeyId, DeliveryId, EndpointId, EventId, InstanceId, KeyId, Name, OrgId, PartnerId,
    PlanName, TrustRuleId, TypedId, WorkspaceId,
};
use keys::{
    AdminRole, InvalidNetworks, KeyStatus, LeakUrl, Networks, OnLeak, OnRevoke, PartnerPlan,
    RevocationReason,
};
use orgs::{OrgOptions, OrgStatus, Slug, StepName, StepStatus, SubscriptionStatus, Ttl};
use scopes::{Scope, ScopeSet};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use utoipa::openapi::{ObjectBuilder, Schema, SchemaFormat, schema::AdditionalProperties};
use webhooks::{AddressPolicy, DeliveryStatus, DisabledReason, EndpointUrl, EventKind, EventKinds};

use super::{
    AnySchema, Components, FieldError, FromJson, FromText, Read, WireType,
    object::{boolean, items, parsed, text, whole_within},
    org_plans::OrgPlans,
    schema::{self, list, matching, one_of, string},
};
use crate::{ErrorCode, Time, parse_time};

/// Characters of a text that are not control characters.
pub(super) const PLAIN: &str = r"[^\u0000-\u001f\u007f-\u009f]";

/// Types with a fixed schema and an example.
macro_rules! wire_types {
    ($($(#[$doc:meta])* $ty:ty = $schema:expr, $example:expr;)*) => {$(
        $(#[$doc])*
        impl WireType for $ty {
            fn schema(_: &mut Components) -> AnySchema {
                $schema.into()
            }

            fn example() -> Value {
                json!($example)
            }
        }
    )*};
}

wire_types! {
    bool = ObjectBuilder::new().schema_type(utoipa::openapi::Type::Boolean), false;
    String = string(), "text";
    &str = string(), "text";
    u32 = schema::whole(0, u32::MAX), 1;
    u16 = schema::whole(0, u16::MAX), 1;
    i64 = ObjectBuilder::new().schema_type(utoipa::openapi::Type::Integer), 0;
    Time = schema::time(), "2026-04-23T08:00:00.000000Z";
    FutureTime = schema::time(), "2099-01-01T00:00:00Z";
    CursorText = matching("^[A-Za-z0-9_-]+$"), "AWs5ZIck__8IAAAAAAAAAAAAAAAAAAAATQ";
    RequestIdText = matching("^[A-Za-z0-9._-]{1,128}$"), "req_01J9ZK6V3QG8W0T5N4R2M7XACD";
    ActorId = matching("^(pak|adm)_[0-7][0-9A-HJKMNP-TV-Z]{25}$"), "pak_01J9ZK60AB1CD2EF3GH4JK5MN6";
    Name = string().pattern(Some(format!("^{PLAIN}+$"))).min_length(Some(1)).max_length(Some(200)), "Acme";
    LeakUrl = string().pattern(Some(format!("^{PLAIN}+$"))).min_length(Some(1)).max_length(Some(2048)), "https://github.com/acme/app/blob/main/.env";
    Slug = string().pattern(Some("^[a-z](-?[a-z0-9])+$")).min_length(Some(3)).max_length(Some(32)), "acme-corp";
    PlanName = matching("^[a-z][a-z0-9_-]{0,31}$"), "standard";
    Ttl = schema::whole(Ttl::MIN_SECONDS, Ttl::MAX_SECONDS), 3600;
    OrgOptions = any_object(), json!({"size": 3});
    OptionsPatch = any_object(), json!({"size": 5});
    FailedStatus = matching("^failed$"), "failed";
    ScopeSet = list(one_of(Scope::ALL.iter().map(|scope| scope.as_str())), None, None), ["orgs:create", "orgs:list"];
    OrgPlans = list(matching("^[a-z][a-z0-9_-]{0,31}$"), Some(1), None), ["standard"];
    Networks = list(network(), Some(1), Some(64)), ["192.0.2.0/24"];
    EndpointUrl = schema::uri(), "https://hooks.acme.example/molecule";
    EventKinds = list(one_of(EventKind::OFFERED.iter().map(|kind| kind.as_str())), Some(1), None), ["org.ready", "org.failed"];
}

/// An object of strings, such as the outputs of an org; it is never made.
pub(crate) enum StringMap {}

/// The same for secrets.
pub(crate) enum SecretMap {}

wire_types! {
    StringMap = string_map(), HashMap::from([("host", "db.example.com")]);
    SecretMap = string_map(), HashMap::from([("PASSWORD", "VZ2rqNzd")]);
}

fn string_map() -> ObjectBuilder {
    let value = string().max_length(Some(4096)).build();
    ObjectBuilder::new()
        .property_names(Some(matching(ENTRY_NAME)))
        .additional_properties(Some(AdditionalProperties::RefOr(value.into())))
        .max_properties(Some(64))
}

/// The name of an output or a secret.
const ENTRY_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]{0,63}$";

/// Types that stand for strings of a fixed form and are never made: a field is held as a string, and has
/// their schema.
macro_rules! text_forms {
    ($($(#[$doc:meta])* $name:ident = $schema:expr, $example:expr;)*) => {
        $($(#[$doc])* pub(crate) enum $name {})*
        wire_types! { $($name = $schema, $example;)* }
    };
}

text_forms! {
    /// A URL.
    Url = schema::uri(), "https://app.moleculesai.app/login?org=acme-corp";
    CreatorText = matching("^(adm|tru)_[0-7][0-9A-HJKMNP-TV-Z]{25}$"), "adm_01J9ZJ00000000000000000000";
    /// The first 12 characters of a partner key.
    KeyPrefix = string().pattern(Some("^[a-z0-9]{2,10}_[0-9A-Za-z_]{1,9}$")).min_length(Some(12)).max_length(Some(12)), "mol_pk_05Kc1";
    /// A partner key.
    SecretKey = matching("^[a-z0-9]{2,10}_pk_[0-9A-Za-z]{50}$"), "mol_pk_05Kc1YtE0OgkAb3vTq7Zr906QnLw2xXb8HdRjUfMs4PyGa1cVe";
    /// A token that was found somewhere.
    LeakedText = string(), "mol_pk_05Kc1YtE0OgkAb3vTq7Zr906QnLw2xXb8HdRjUfMs4PyGa1cVe";
    /// Whether a token is a key of ours.
    LeakLabel = one_of([crate::TRUE_POSITIVE, crate::FALSE_POSITIVE]), crate::TRUE_POSITIVE;
    /// The secret of a webhook endpoint.
    WebhookSecretText = matching("^whsec_[0-9A-Za-z+/]{32,86}={0,2}$"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// The status of a webhook endpoint.
    EndpointStatus = one_of(["active", "disabled"]), "active";
    /// What a message can report: also that a partner tests its receiver.
    MessageType = one_of(EventKind::OFFERED.iter().chain([&EventKind::Test]).map(|kind| kind.as_str())), "org.ready";
    /// The name of an output or a secret.
    EntryName = matching(ENTRY_NAME), "DATABASE_URL";
    /// The kind of a caller.
    ActorType = one_of(["partner_key", "admin", "system"]), "partner_key";
    /// The kind of a credential.
    CredentialType = one_of(["partner_key", "admin"]), "partner_key";
    /// The name of a rate limit.
    LimitName = one_of(["key", "partner", "admin", "revocation"]), "key";
    GrantType = matching("^urn:ietf:params:oauth:grant-type:token-exchange$"), "urn:ietf:params:oauth:grant-type:token-exchange";
    SubjectTokenType = matching("^urn:ietf:params:oauth:token-type:(jwt|id_token)$"), "urn:ietf:params:oauth:token-type:jwt";
    IssuedTokenType = one_of(["urn:ietf:params:oauth:token-type:access_token"]), "urn:ietf:params:oauth:token-type:access_token";
    TokenType = one_of(["Bearer"]), "Bearer";
    TokenErrorCode = one_of(["invalid_request", "invalid_grant", "invalid_scope", "unsupported_grant_type", "temporarily_unavailable", "server_error"]), "invalid_grant";
    SubjectToken = string(), "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwcyJ9.c2lnbmF0dXJl";
    ScopeText = string(), "orgs:create orgs:delete";
    /// The name of a quota.
    QuotaName = one_of(["partner_orgs", "key_live_orgs"]), "partner_orgs";
    /// The status of a healthy server.
    HealthStatus = one_of(["ok"]), "ok";
    /// Any object.
    AnyObject = any_object(), {};
}

/// Types that are read from a string of JSON or a parameter of a query.
macro_rules! from_text {
    ($($ty:ty = $parse:expr;)*) => {$(
        impl FromText for $ty {
            fn from_text(text: String) -> Result<Self, String> {
                let parse = $parse;
                parse(text).map_err(|error| error.to_string())
            }
        }

        impl<C> FromJson<C> for $ty {
            fn from_json(value: Value, _: &C) -> Read<Self> {
                parsed(Self::from_text)(value)
            }
        }
    )*};
}

/// Ids, each with an example.
macro_rules! id_types {
    ($($ty:ty = $example:literal;)*) => {$(
        wire_types! { $ty = matching(id_pattern(<$ty as TypedId>::PREFIX)), $example; }
        from_text! { $ty = |text: String| text.parse::<$ty>(); }
    )*};
}

/// Enums that are words in JSON.
macro_rules! words {
    ($($ty:ty = $words:expr;)*) => {$(
        impl WireType for $ty {
            fn schema(_: &mut Components) -> AnySchema {
                one_of($words.iter().map(|word| word.as_str())).into()
            }

            fn example() -> Value {
                json!($words.first().map(|word| word.as_str()))
            }
        }
    )*};
}

id_types! {
    KeyId = "pak_01J9ZK60AB1CD2EF3GH4JK5MN6";
    AdminKeyId = "adm_01J9ZJ00000000000000000000";
    PartnerId = "ptn_01J9ZK5H8D3M6Q7R1S2T4V5W6X";
    OrgId = "org_01J9ZK6V3QG8W0T5N4R2M7XACD";
    WorkspaceId = "ws_01J9ZK7M0N1P2Q3R4S5T6V7W8X";
    EventId = "evt_01J9ZK6V4R8S9T0V1W2X3Y4Z5A";
    EndpointId = "whe_01J9ZK7H5J6K7M8N9P0Q1R2S3T";
    DeliveryId = "whd_01J9ZK7P2Q3R4S5T6V7W8X9Y0Z";
    InstanceId = "ins_01J9ZJ2V3W4X5Y6Z7A8B9C0D1E";
    TrustRuleId = "tru_01J9ZK8Q1R2S3T4V5W6X7Y8Z9A";
}

words! {
    KeyStatus = Self::ALL;
    OnRevoke = Self::ALL;
    OnLeak = Self::ALL;
    RevocationReason = Self::ALL;
    AdminRole = Self::ALL;
    PartnerPlan = Self::ALL;
    OrgStatus = Self::ALL;
    StepName = Self::ALL;
    StepStatus = Self::ALL;
    SubscriptionStatus = Self::ALL;
    Action = Self::ALL;
    Outcome = Self::ALL;
    TargetKind = Self::ALL;
    DeliveryStatus = Self::ALL;
    DisabledReason = Self::ALL;
    ErrorCode = Self::ALL;
}

from_text! {
    Name = Name::new;
    LeakUrl = LeakUrl::new;
    Slug = Slug::new;
    PlanName = PlanName::new;
    KeyStatus = |text: String| text.parse::<KeyStatus>();
    OnRevoke = |text: String| text.parse::<OnRevoke>();
    OnLeak = |text: String| text.parse::<OnLeak>();
    RevocationReason = |text: String| text.parse::<RevocationReason>();
    PartnerPlan = |text: String| text.parse::<PartnerPlan>();
    OrgStatus = |text: String| text.parse::<OrgStatus>();
    SubscriptionStatus = |text: String| text.parse::<SubscriptionStatus>();
    Action = |text: String| text.parse::<Action>();
    Outcome = |text: String| text.parse::<Outcome>();
    ActorId = actor_id;
    RequestIdText = request_id;
    Time = |text: String| parse_time(&text).map(Time);
}

fn any_object() -> ObjectBuilder {
    let any = AdditionalProperties::<Schema>::FreeForm(true);
    ObjectBuilder::new().additional_properties(Some(any))
}

/// The form of ids of a kind: a prefix and a ULID in its canonical spelling.
fn id_pattern(prefix: &str) -> String {
    format!("^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$")
}

/// The id of a key of either kind.
fn actor_id(text: String) -> Result<ActorId, impl std::fmt::Display> {
    let key = text.parse().map(ActorId::Key);
    key.or_else(|error| text.parse().map(ActorId::Admin).map_err(|_| error))
}

/// The id of a request, the client's own or ours.
pub(crate) struct RequestIdText(pub(crate) String);

fn request_id(text: String) -> Result<RequestIdText, &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
        Ok(RequestIdText(text))
    } else {
        Err("must be 1 to 128 letters, digits or characters of \"._-\"")
    }
}

/// The one status of messages that can be sent again together.
pub(crate) struct FailedStatus;

impl<C> FromJson<C> for FailedStatus {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        if value.as_str() == Some(DeliveryStatus::Failed.as_str()) {
            Ok(Self)
        } else {
            Err(FieldError::here("must be \"failed\""))
        }
    }
}

/// The cursor of a list. The list tells whether it is one of its own.
pub(crate) struct CursorText(pub(crate) String);

impl FromText for CursorText {
    fn from_text(text: String) -> Result<Self, String> {
        Ok(Self(text))
    }
}

impl FromText for bool {
    fn from_text(text: String) -> Result<Self, String> {
        match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

impl<C> FromJson<C> for bool {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        boolean(&value)
    }
}

impl<C> FromJson<C> for OrgOptions {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        Self::new(any_members(value)?).map_err(FieldError::here)
    }
}

/// A merge patch of options.
pub(crate) struct OptionsPatch(pub(crate) Map<String, Value>);

impl<C> FromJson<C> for OptionsPatch {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        any_members(value).map(Self)
    }
}

/// The members of any object.
fn any_members(value: Value) -> Read<Map<String, Value>> {
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(FieldError::here("must be a JSON object"))
        }
    }
}

impl<C> FromJson<C> for Ttl {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let seconds = whole_within(&value, Self::MIN_SECONDS.into(), Self::MAX_SECONDS.into())?;
        Self::from_seconds(seconds).map_err(FieldError::here)
    }
}

impl<C> FromJson<C> for ScopeSet {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let scopes = items(|value| parsed(|text| text.parse::<Scope>())(value))(value)?;
        Ok(scopes.into_iter().collect())
    }
}

/// A time after that of the request.
pub(crate) struct FutureTime(pub(crate) OffsetDateTime);

impl FromJson<OffsetDateTime> for FutureTime {
    fn from_json(value: Value, now: &OffsetDateTime) -> Read<Self> {
        let Time(time) = Time::from_json(value, now)?;
        if time > *now {
            Ok(Self(time))
        } else {
            Err(FieldError::here("must be in the future"))
        }
    }
}

/// A network in CIDR notation or one address. A pattern could not say that no bits are set beyond the
/// prefix.
fn network() -> ObjectBuilder {
    string().format(Some(SchemaFormat::Custom("cidr".to_owned())))
}

impl<C> FromJson<C> for Networks {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let texts = items(text)(value)?;
        Self::parse(texts.iter().map(String::as_str)).map_err(|error| {
            let pointer = match error {
                InvalidNetworks::Form(at) | InvalidNetworks::HostBits(at) => format!("/{at}"),
                InvalidNetworks::Empty | InvalidNetworks::TooMany => String::new(),
            };
            vec![FieldError::new(pointer, error.to_string())]
        })
    }
}

impl FromJson<AddressPolicy> for EndpointUrl {
    fn from_json(value: Value, reach: &AddressPolicy) -> Read<Self> {
        parsed(|text| Self::new(text, *reach))(value)
    }
}

impl<C> FromJson<C> for EventKinds {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let kinds = items(|value| parsed(|text| text.parse::<EventKind>())(value))(value)?;
        Self::new(kinds).map_err(FieldError::here)
    }
}
