//! Claims in the requests and responses about trust rules.

use audit::Details;
use serde_json::{Value, json};
use trust::{ClaimPatch, Claims, InvalidClaims, MAX_CLAIMS, Refusals};
use utoipa::openapi::{ObjectBuilder, Schema, schema::AdditionalProperties};

use crate::wire::{
    AnySchema, ClientType, Components, FieldError, FromJson, Read, WireType, pointer_to, string,
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
    ClaimsMap(Claims) = Claims::read, claims_schema(Some(1), Some(MAX_CLAIMS)), json!({"repository_id": "1296269", "ref": "refs/heads/main"});
    /// The claims by which a token is refused.
    RefusalsMap(Refusals) = Refusals::read, claims_schema(None, Some(MAX_CLAIMS)),
        json!({"event_name": ["pull_request_target", "workflow_run"]});
    /// A merge patch of claims.
    ClaimsPatch(ClaimPatch) = |members: &_| ClaimPatch::read(members, false), claims_schema(None, None), json!({"ref": null});
    /// A merge patch of refusals.
    RefusalsPatch(ClaimPatch) = |members: &_| ClaimPatch::read(members, true), claims_schema(None, None),
        json!({"event_name": ["pull_request_target"]});
}

/// Objects whose members are a value or a list of values.
fn claims_schema(min: Option<usize>, max: Option<usize>) -> AnySchema {
    let any = AdditionalProperties::<Schema>::FreeForm(true);
    let name = string().pattern(Some("^[!-~]{1,64}$")).build();
    ObjectBuilder::new()
        .property_names(Some(name))
        .additional_properties(Some(any))
        .min_properties(min)
        .max_properties(max)
        .into()
}

/// The error with its place.
fn placed(error: &InvalidClaims) -> Vec<FieldError> {
    let claim = error.claim.as_deref().map(pointer_to);
    let index = error.index.map(|index| format!("/{index}"));
    let pointer = claim.unwrap_or_default() + &index.unwrap_or_default();
    vec![FieldError::new(pointer, error.detail)]
}
