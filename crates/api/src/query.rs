//! Queries, each described once: a struct derives `Query` (`crates/api-macros`), and its fields are what is
//! read and what the OpenAPI document shows.

mod parameters;

use serde_json::Value;
use utoipa::openapi::{
    Required,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
};

pub use self::parameters::{Parameters, QueryError};
use crate::wire::{AnySchema, Components, FromText};

/// The query of an operation. Derived.
pub trait Query: Sized {
    /// Reads the parameters in the order of the fields, and leaves others alone. Some are only for admin
    /// keys.
    ///
    /// # Errors
    /// When a value is bad, or a parameter is repeated.
    fn read(query: &mut Parameters, by_admin: bool) -> Result<Self, QueryError>;

    /// The parameters as the document shows them.
    fn parameters(by_admin: bool) -> Vec<Parameter>;

    /// Reads a query that has no other parameters.
    ///
    /// # Errors
    /// When a value is bad, or a parameter is repeated or unknown.
    fn read_all(mut query: Parameters, by_admin: bool) -> Result<Self, QueryError> {
        let read = Self::read(&mut query, by_admin)?;
        query.finish()?;
        Ok(read)
    }
}

/// A query without parameters.
impl Query for () {
    fn read(_: &mut Parameters, _: bool) -> Result<Self, QueryError> {
        Ok(())
    }

    fn parameters(_: bool) -> Vec<Parameter> {
        Vec::new()
    }
}

/// A field of a query.
pub(crate) trait QueryField: Sized {
    /// Whether the operation refuses a query without it.
    const REQUIRED: bool = false;
    /// Whether it can be repeated.
    const REPEATED: bool = false;

    /// Its schema.
    fn schema() -> AnySchema;

    /// A value, for a parameter that must be sent.
    fn example() -> Option<Value> {
        None
    }

    /// Reads the parameter of this name.
    fn read(query: &mut Parameters, name: &'static str) -> Result<Self, QueryError>;
}

/// A parameter that can be left out.
impl<T: FromText> QueryField for Option<T> {
    fn schema() -> AnySchema {
        T::schema(&mut Components::new())
    }

    fn read(query: &mut Parameters, name: &'static str) -> Result<Self, QueryError> {
        let read =
            |text| T::from_text(text).map_err(|error| QueryError::Bad(format!("{name}: {error}")));
        query.single(name)?.map(read).transpose()
    }
}

/// A field as the document shows it.
pub(crate) fn parameter<T: QueryField>(name: &str, description: &str) -> Parameter {
    let required = if T::REQUIRED {
        Required::True
    } else {
        Required::False
    };
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(description))
        .schema(Some(T::schema()))
        .example(T::example());
    if T::REPEATED {
        let style = parameter.style(Some(ParameterStyle::Form));
        style.explode(Some(true)).build()
    } else {
        parameter.build()
    }
}
