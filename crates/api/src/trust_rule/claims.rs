//! Claims in the requests and responses about trust rules.

use audit::Details;
use serde_json::{Value, json};
use trust::{ClaimPatch, Claims, InvalidClaims, MAX_CLAIMS, Refusals};
use utoipa::openapi::{
    ObjectBuilder, OneOfBuilder, Schema,
    schema::{AdditionalProperties, Type},
};

use crate::wire::{
    AnySchema, ClientType, Components, FieldError, FromJson, Read, WireType, list, pointer_to,
    string,
};

/// Types that are claims in JSON: objects whose members are free.
macro_rules! claim_maps {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $read:expr, $schema:expr, $example:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) $inner);

        impl WireType for $name {
            fn schema(_: &mut Components) -> AnySchema {
                $schema
            }

            fn example() -> Value {
                $example
            }
        }

        impl ClientType for $name {
            type As = Details;
        }

        impl<C> FromJson<C> for $name {
            fn from_json(value: Value, _: &C) -> Read<Self> {
                let Value::Object(members) = value else {
                    return Err(FieldError::here("must be a JSON object"));
                };
                let read = $read;
                read(&members).map(Self).map_err(|error| placed(&error))
            }
        }
    )*};
}

claim_maps! {
    /// The claims that a token must have.
    ClaimsMap(Claims) = Claims::read, claims_schema(values_schema(1, false), Some(1), Some(MAX_CLAIMS)), json!({"repository_id": "1296269", "ref": "refs/heads/main"});
    /// The claims by which a token is refused.
    RefusalsMap(Refusals) = Refusals::read, claims_schema(values_schema(0, false), None, Some(MAX_CLAIMS)),
        json!({"event_name": ["pull_request_target", "workflow_run"]});
    /// A merge patch of claims.
    ClaimsPatch(ClaimPatch) = |members: &_| ClaimPatch::read(members, false), claims_schema(values_schema(1, true), None, None), json!({"ref": null});
    /// A merge patch of refusals.
    RefusalsPatch(ClaimPatch) = |members: &_| ClaimPatch::read(members, true), claims_schema(values_schema(0, true), None, None),
        json!({"event_name": ["pull_request_target"]});
}

/// Objects whose members are claims.
fn claims_schema(values: AnySchema, min: Option<usize>, max: Option<usize>) -> AnySchema {
    let name = string().pattern(Some("^[!-~]{1,64}$")).build();
    ObjectBuilder::new()
        .property_names(Some(name))
        .additional_properties(Some(AdditionalProperties::RefOr(values)))
        .min_properties(min)
        .max_properties(max)
        .into()
}

/// The values of a claim: one, or a list of so many at the least; in a patch, `null` takes the claim out.
fn values_schema(min: usize, is_patch: bool) -> AnySchema {
    let text = string()
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f*]+$"));
    let one = OneOfBuilder::new()
        .item(text)
        .item(ObjectBuilder::new().schema_type(Type::Integer))
        .item(ObjectBuilder::new().schema_type(Type::Boolean))
        .build();
    let mut schema = one.clone();
    schema
        .items
        .push(list(Schema::OneOf(one), Some(min), Some(64)).into());
    if is_patch {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        schema.items.push(null.into());
    }
    Schema::OneOf(schema).into()
}
/// The error with its place.
fn placed(error: &InvalidClaims) -> Vec<FieldError> {
    let claim = error.claim.as_deref().map(pointer_to);
    let index = error.index.map(|index| format!("/{index}"));
    let pointer = claim.unwrap_or_default() + &index.unwrap_or_default();
    vec![FieldError::new(pointer, error.detail)]
}
