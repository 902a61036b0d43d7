//! Parameters of queries, paths and headers.

use utoipa::openapi::{
    Required,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

use crate::{
    query::Query,
    wire::{AnySchema, Components, WireType, matching},
};

/// The parameters of a query, or a header that only some operations have.
#[derive(Clone, Copy, Debug)]
pub struct Params(fn(bool) -> Vec<Parameter>);

impl Params {
    /// The header `Prefer`, which asks to hold the response.
    pub const PREFER: Self = Self(|_| {
        vec![prefer(
            "With `wait=N` (RFC 7240) the response is held for up to N seconds, at most 50, while work is \
             pending, until the status changes. Unknown preferences are ignored.",
        )]
    });

    /// The header `Prefer`, which asks for the receipt of a revocation.
    pub const PREFER_RECEIPT: Self = Self(|_| {
        vec![prefer(
            "With `wait=N` (RFC 7240) the response is held for up to N seconds, at most 30, until every live \
             instance has confirmed the revocation, and has a receipt. Unknown preferences are ignored.",
        )]
    });

    /// The parameters of a query.
    #[must_use]
    pub const fn of<Q: Query>() -> Self {
        Self(Q::parameters)
    }

    /// The parameters. Some are only for admin keys.
    pub(super) fn parameters(self, by_admin: bool) -> Vec<Parameter> {
        (self.0)(by_admin)
    }
}

/// The schema of a type that has no name.
fn of<T: WireType>() -> AnySchema {
    T::schema(&mut Components::new())
}

/// A parameter of the path.
pub(super) fn path<T: WireType>(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(of::<T>()))
        .example(Some(T::example()))
        .build()
}

fn prefer(description: &str) -> Parameter {
    header("Prefer", description, of::<String>())
}

/// `Idempotency-Key`, of every POST.
pub(super) fn idempotency_key() -> Parameter {
    // Bare, or a quoted string without escapes.
    let form = matching(
        r#"^([\u0021\u0023-\u007e]{1,255}|"[\u0020\u0021\u0023-\u005b\u005d-\u007e]{1,255}")$"#,
    );
    header(
        "Idempotency-Key",
        "Makes the request safe to repeat: for 24 hours, the same key with the same body has the same \
         response. Use a new UUID for each new request.",
        form.into(),
    )
}

/// A header that can be left out.
fn header(name: &str, description: &str, schema: AnySchema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
