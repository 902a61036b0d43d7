//! Schemas in short.

use std::mem;

use serde_json::{Value, json};
use utoipa::{
    Number,
    openapi::{
        Array, ArrayBuilder, KnownFormat, Object, ObjectBuilder, OneOfBuilder, RefOr, Schema,
        SchemaFormat,
        extensions::Extensions,
        schema::{ArrayItems, SchemaType, Type},
    },
};

use super::{AnySchema, Field};

/// A string.
pub(crate) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A string of a fixed form.
pub(crate) fn matching(pattern: impl Into<String>) -> Object {
    string().pattern(Some(pattern)).build()
}

/// One of these words.
pub(crate) fn one_of(words: impl IntoIterator<Item = &'static str>) -> Object {
    string().enum_values(Some(words)).build()
}

/// The same in a response, where a later version of the server may use other words. Generators make a string
/// of it, so that a client goes on with a word that it does not know; `x-extensible-enum` lists those of today.
pub(crate) fn open(mut schema: AnySchema) -> AnySchema {
    match &mut schema {
        RefOr::T(Schema::Object(object)) => {
            if let Some(mut words) = object.enum_values.take() {
                words.retain(|word| !word.is_null());
                let known = [("x-extensible-enum", Value::Array(words))];
                object.extensions = Some(Extensions::from_iter(known));
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                **items = open(mem::replace(items, RefOr::T(Schema::default())));
            }
        }
        RefOr::Ref(_) | RefOr::T(_) => {}
    }
    schema
}

/// A whole number within bounds.
pub(crate) fn whole<N: Into<Number>>(min: N, max: N) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min))
        .maximum(Some(max))
        .build()
}

/// A list.
pub(crate) fn list(of: impl Into<AnySchema>, min: Option<usize>, max: Option<usize>) -> Array {
    ArrayBuilder::new()
        .items(of.into())
        .min_items(min)
        .max_items(max)
        .build()
}

/// A time, RFC 3339.
pub(crate) fn time() -> Object {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

/// A URL.
pub(crate) fn uri() -> Object {
    string()
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .build()
}

/// The same, or `null`.
pub(crate) fn or_null(schema: AnySchema) -> AnySchema {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = with_null(object.schema_type);
            if let Some(values) = &mut object.enum_values {
                values.push(Value::Null);
            }
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(array.schema_type);
            array.into()
        }
        other @ (RefOr::Ref(_) | RefOr::T(_)) => OneOfBuilder::new()
            .item(other)
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .into(),
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

/// The same with a description.
pub(crate) fn described(mut schema: AnySchema, description: String) -> AnySchema {
    let place = match &mut schema {
        RefOr::Ref(reference) => {
            reference.description = description;
            return schema;
        }
        RefOr::T(Schema::Object(object)) => &mut object.description,
        RefOr::T(Schema::Array(array)) => &mut array.description,
        RefOr::T(Schema::OneOf(parts)) => &mut parts.description,
        RefOr::T(_) => return schema,
    };
    *place = Some(description);
    schema
}

/// An object in which both of these fields have a value that is not `null`.
pub(crate) fn both(fields: &[Field], first: &str, second: &str) -> Value {
    let some = |name: &str| {
        let found = fields.iter().find(|field| field.name == name);
        let types = found.and_then(|field| json!(field.schema).get("type").cloned());
        let of_value = match types {
            Some(Value::Array(types)) => types.into_iter().find(|kind| kind != "null"),
            other => other,
        };
        json!({"type": of_value})
    };
    json!({
        "type": "object",
        "properties": {first: some(first), second: some(second)},
        "required": [first, second],
    })
}
