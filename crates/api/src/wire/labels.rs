//! Labels, and the changes to them.

use ids::{InvalidLabels, Labels};
use keys::LabelChanges;
use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, schema::AdditionalProperties};

use super::{
    AnySchema, Components, FieldError, FromJson, Read, WireType,
    object::{pairs, pointer_to, text},
    schema::{matching, or_null, string},
    types::PLAIN,
};

/// The key of a label.
const LABEL_KEY: &str = "[a-z0-9][a-z0-9_.-]{0,62}";

impl WireType for Labels {
    fn schema(_: &mut Components) -> AnySchema {
        label_map(label_value().into(), Some(ids::MAX_LABELS)).into()
    }

    fn example() -> Value {
        json!({})
    }
}

/// A label's key and value as a query takes them; the value has at least so many characters.
pub(crate) fn label_parameter(min: usize) -> utoipa::openapi::Object {
    matching(format!("^{LABEL_KEY}:{PLAIN}{{{min},255}}$"))
}

fn label_value() -> utoipa::openapi::Object {
    string()
        .pattern(Some(format!("^{PLAIN}*$")))
        .max_length(Some(255))
        .build()
}

fn label_map(value: AnySchema, max: Option<usize>) -> ObjectBuilder {
    ObjectBuilder::new()
        .property_names(Some(matching(format!("^{LABEL_KEY}$"))))
        .additional_properties(Some(AdditionalProperties::RefOr(value)))
        .max_properties(max)
}

impl<C> FromJson<C> for Labels {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        Self::new(pairs(text)(value)?).map_err(|error| label_error(&error))
    }
}

/// A merge patch of labels: `null` removes one.
pub(crate) struct LabelPatch(pub(crate) LabelChanges);

impl WireType for LabelPatch {
    fn schema(_: &mut Components) -> AnySchema {
        label_map(or_null(label_value().into()), None).into()
    }

    fn example() -> Value {
        json!({})
    }
}

impl<C> FromJson<C> for LabelPatch {
    /// Each label that is set is checked here, and the keys of those that are removed.
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let nullable = |value: Value| {
            if value.is_null() {
                Ok(None)
            } else {
                text(value).map(Some)
            }
        };
        let changes = pairs(nullable)(value)?;
        let set = changes
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        Labels::new(set).map_err(|error| label_error(&error))?;
        changes
            .iter()
            .try_for_each(|(key, _)| Labels::check_key(key))
            .map_err(|error| label_error(&error))?;
        Ok(Self(changes))
    }
}

fn label_error(error: &InvalidLabels) -> Vec<FieldError> {
    let pointer = match error {
        InvalidLabels::TooMany => String::new(),
        InvalidLabels::Key(key) | InvalidLabels::Value(key) => pointer_to(key),
    };
    vec![FieldError::new(pointer, error.to_string())]
}
