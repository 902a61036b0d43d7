//! Values that may be missing or `null`, lists, and numbers within bounds.

use std::marker::PhantomData;

use keys::Change;
use serde_json::{Value, json};

use super::{
    AnySchema, Components, FromJson, Object, Read, WireType,
    object::whole_within,
    schema::{self, list, or_null},
};

/// A value that may be `null`; a field that may be missing, which says the same.
impl<T: WireType> WireType for Option<T> {
    fn schema(components: &mut Components) -> AnySchema {
        or_null(T::schema(components))
    }

    fn example() -> Value {
        Value::Null
    }
}

impl<C, T: FromJson<C>> FromJson<C> for Option<T> {
    const REQUIRED: bool = false;

    fn from_json(value: Value, context: &C) -> Read<Self> {
        if value.is_null() {
            Ok(None)
        } else {
            T::from_json(value, context).map(Some)
        }
    }

    fn field(object: &mut Object, name: &'static str, context: &C) -> Option<Self> {
        object.optional(name, |value| T::from_json(value, context))
    }
}

/// A field of a merge patch (RFC 7396).
impl<T: WireType> WireType for Change<T> {
    fn schema(components: &mut Components) -> AnySchema {
        or_null(T::schema(components))
    }

    fn example() -> Value {
        Value::Null
    }
}

impl<C, T: FromJson<C>> FromJson<C> for Change<T> {
    const REQUIRED: bool = false;

    fn from_json(value: Value, context: &C) -> Read<Self> {
        if value.is_null() {
            Ok(Self::Clear)
        } else {
            T::from_json(value, context).map(Self::Set)
        }
    }

    fn field(object: &mut Object, name: &'static str, context: &C) -> Option<Self> {
        object.change(name, |value| T::from_json(value, context))
    }
}

/// A field of a merge patch that has no default, so that `null` is refused.
pub(crate) struct NotNull<T>(pub(crate) Option<T>);

impl<T: WireType> WireType for NotNull<T> {
    fn schema(components: &mut Components) -> AnySchema {
        T::schema(components)
    }

    fn example() -> Value {
        T::example()
    }
}

impl<C, T: FromJson<C>> FromJson<C> for NotNull<T> {
    const REQUIRED: bool = false;

    fn from_json(value: Value, context: &C) -> Read<Self> {
        T::from_json(value, context).map(|value| Self(Some(value)))
    }

    fn field(object: &mut Object, name: &'static str, context: &C) -> Option<Self> {
        if object.has(name) {
            T::field(object, name, context).map(|value| Self(Some(value)))
        } else {
            object.know(name);
            Some(Self(None))
        }
    }
}

/// A list.
impl<T: WireType> WireType for Vec<T> {
    fn schema(components: &mut Components) -> AnySchema {
        list(T::schema(components), None, None).into()
    }

    fn example() -> Value {
        json!([T::example()])
    }
}

/// A list with at most `MAX` items.
pub(crate) struct AtMost<const MAX: usize, T>(PhantomData<T>);

impl<const MAX: usize, T: WireType> WireType for AtMost<MAX, T> {
    fn schema(components: &mut Components) -> AnySchema {
        list(T::schema(components), None, Some(MAX)).into()
    }

    fn example() -> Value {
        json!([T::example()])
    }
}

/// A value that may be `null`, and is not in the example.
pub(crate) struct Present<T>(PhantomData<T>);

impl<T: WireType> WireType for Present<T> {
    fn schema(components: &mut Components) -> AnySchema {
        or_null(T::schema(components))
    }

    fn example() -> Value {
        T::example()
    }
}

/// A list with at least one item.
pub(crate) struct NonEmpty<T>(PhantomData<T>);

impl<T: WireType> WireType for NonEmpty<T> {
    fn schema(components: &mut Components) -> AnySchema {
        list(T::schema(components), Some(1), None).into()
    }

    fn example() -> Value {
        json!([T::example()])
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// How many orgs there may be: as many as a column of 63 bits can hold, and more than anybody needs.
pub(crate) type OrgCount = Whole<0, 1_000_000_000>;
/// How many calls a limit allows at once.
pub(crate) type Burst = Whole<1, 100_000_000>;
/// The seconds in which a limit refills.
pub(crate) type WindowSeconds = Whole<1, 86_400>;

impl<const MIN: u64, const MAX: u64> WireType for Whole<MIN, MAX> {
    fn schema(_: &mut Components) -> AnySchema {
        schema::whole(MIN, MAX).into()
    }

    fn example() -> Value {
        json!(MIN)
    }
}

impl<C, const MIN: u64, const MAX: u64> FromJson<C> for Whole<MIN, MAX> {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        whole_within(&value, MIN, MAX).map(Self)
    }
}
