//! One description of each object of the API: how it is read, and what the OpenAPI document says of it.
//!
//! A struct derives `Request` or `Response` (`crates/api-macros`); each of its fields is a [`WireType`], and
//! in requests [`FromJson`]. Nothing else lists the fields.

mod client;
mod generic;
mod labels;
mod object;
mod org_plans;
mod schema;
mod types;

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{
    ObjectBuilder, Ref, RefOr, Schema,
    extensions::Extensions,
    schema::{AdditionalProperties, Type},
};

pub use self::{
    client::{ClientType, Word, Words},
    object::{
        BodyError, FieldError, Object, Read, field_error_client::FieldError as FieldErrorReceived,
    },
};
pub(crate) use self::{
    generic::*,
    labels::{LabelPatch, label_parameter},
    object::{MAX_ERRORS, exclusive, parsed, pointer_to, text},
    org_plans::OrgPlans,
    schema::{described, list, matching, one_of, open, string, whole},
    types::*,
};

/// A schema or a reference to one.
pub type AnySchema = RefOr<Schema>;
/// The named schemas of a document.
pub type Components = BTreeMap<String, AnySchema>;

/// A type whose values all have one form in JSON.
pub trait WireType {
    /// Its schema. One that has a name is added to the components, and this refers to it.
    fn schema(components: &mut Components) -> AnySchema;

    /// A value that fits the schema.
    fn example() -> Value;
}

/// A type that is read from JSON and checked against `C`, such as the time of the request.
pub trait FromJson<C>: WireType + Sized {
    /// Whether an object without this field is refused.
    const REQUIRED: bool = true;

    /// Reads a value.
    ///
    /// # Errors
    /// All that is wrong with it, with pointers that start at the value.
    fn from_json(value: Value, context: &C) -> Read<Self>;

    /// Reads the field of this name; `None` once an error is noted.
    fn field(object: &mut Object, name: &'static str, context: &C) -> Option<Self> {
        object.required(name, |value| Self::from_json(value, context))
    }
}

/// A type that is read from text: a string of JSON, or a parameter of a query.
pub trait FromText: WireType + Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// What it must be, as in "must be true or false".
    fn from_text(text: String) -> Result<Self, String>;
}

/// One field of an object, as the document shows it.
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) description: String,
    pub(crate) required: bool,
    pub(crate) schema: AnySchema,
    /// Its value in the example of the object; `None` leaves it out.
    pub(crate) example: Option<Value>,
}

/// An object with known fields. Derived.
pub trait ObjectType {
    /// What it is.
    const DESCRIPTION: &'static str;
    /// Whether it has no other members.
    const CLOSED: bool;
    /// Pairs of fields of which at most one may have a value.
    const EXCLUSIVE: &'static [(&'static str, &'static str)];

    /// The name of its schema.
    fn name() -> String;

    /// Its fields.
    fn fields(components: &mut Components) -> Vec<Field>;
}

/// An object that can be an item of a list.
pub trait ListItem: ObjectType + WireType {}

impl<T: ObjectType + WireType> ListItem for T {}

/// A type that can be the body of a request. Derived.
pub trait RequestBody: WireType {
    /// The name of its schema.
    fn name() -> String;
}

/// How the body of a request is read. Derived.
pub trait Request<C>: RequestBody + Sized {
    /// Reads the fields in their order; `None` once an error is noted.
    fn read(object: &mut Object, context: &C) -> Option<Self>;

    /// Reads the body of a request.
    ///
    /// # Errors
    /// When it is not JSON, or for all that is missing, wrong or unknown in it.
    fn from_body(body: &[u8], context: &C) -> Result<Self, BodyError> {
        Object::of_body(body)?
            .finish(|object| Self::read(object, context))
            .map_err(BodyError::Invalid)
    }
}

/// The schema of an object.
fn object_schema<T: ObjectType>(components: &mut Components) -> AnySchema {
    let mut object = ObjectBuilder::new().schema_type(Type::Object);
    if T::CLOSED {
        object =
            object.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    }
    let fields = T::fields(components);
    for (first, second) in T::EXCLUSIVE {
        // The builder has no `not`; what it takes for extensions is written as it is.
        let not = Extensions::from_iter([("not", schema::both(&fields, first, second))]);
        object = object.extensions(Some(not));
    }
    for field in fields {
        if field.required {
            object = object.required(field.name);
        }
        object = object.property(field.name, described(field.schema, field.description));
    }
    object.description(Some(T::DESCRIPTION)).into()
}

/// An object of this type.
pub(crate) fn object_example<T: ObjectType>() -> Value {
    let fields = T::fields(&mut Components::new()).into_iter();
    let members = fields.filter_map(|field| Some((field.name.to_owned(), field.example?)));
    Value::Object(members.collect())
}

/// Adds an object to the components, and refers to it.
pub(crate) fn component<T: ObjectType>(components: &mut Components) -> AnySchema {
    let name = T::name();
    if !components.contains_key(&name) {
        let schema = object_schema::<T>(components);
        components.insert(name.clone(), schema);
    }
    Ref::from_schema_name(name).into()
}

/// The description of a field of another object. The derive sees to it that there is one.
pub(crate) fn description_in<T: ObjectType>(field: &str) -> String {
    let fields = T::fields(&mut Components::new());
    let found = fields.into_iter().find(|other| other.name == field);
    found.map(|other| other.description).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
