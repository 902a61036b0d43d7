//! A JSON object read field by field, so that one response names every error in it.

use api_macros::Response;
use keys::Change;
use serde::Serialize;
use serde_json::{Map, Value};

/// An error in one place of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Response)]
#[api(name = "FieldError")]
pub struct FieldError {
    /// The place, as a JSON pointer (RFC 6901) into the body; empty for the body as a whole.
    #[api(example = "/slug")]
    pub pointer: String,
    /// What is wrong, and what is right.
    #[api(example = "is reserved; choose another")]
    pub detail: String,
}

impl FieldError {
    /// An error at a pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }

    /// An error of the value at hand, whatever its place.
    pub fn here(detail: impl ToString) -> Vec<Self> {
        vec![Self::new("", detail.to_string())]
    }
}

/// The most errors that one response lists: a body of 64 KiB can hold tens of thousands.
pub(crate) const MAX_ERRORS: usize = 50;

/// Adds errors, up to [`MAX_ERRORS`] in all.
fn extend(errors: &mut Vec<FieldError>, more: impl IntoIterator<Item = FieldError>) {
    let room = MAX_ERRORS.saturating_sub(errors.len());
    errors.extend(more.into_iter().take(room));
}

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is not JSON; the text says why.
    Syntax(String),
    /// It is JSON, and these of its values are missing or wrong.
    Invalid(Vec<FieldError>),
}

/// The value that was read, or errors with pointers that start at it.
pub type Read<T> = Result<T, Vec<FieldError>>;

/// An object whose fields are taken out one by one. What is left at the end is unknown, and an error.
#[derive(Debug)]
pub struct Object {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Object {
    /// Takes the body of a request.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Err(BodyError::Syntax(
                "The body is empty. Send a JSON object.".to_owned(),
            ));
        }
        let value = strict_json::value(body).map_err(|error| {
            BodyError::Syntax(format!(
                "The body is not valid JSON: {error}. Fix it and send it again."
            ))
        })?;
        Self::of_value(value).map_err(BodyError::Invalid)
    }

    /// Takes a value.
    ///
    /// # Errors
    /// When it is not an object.
    pub(crate) fn of_value(value: Value) -> Read<Self> {
        match value {
            Value::Object(members) => Ok(Self {
                members,
                known: Vec::new(),
                errors: Vec::new(),
            }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(FieldError::here("must be a JSON object")),
        }
    }

    /// Notes that the object may have this field.
    pub(crate) fn know(&mut self, name: &'static str) {
        self.known.push(name);
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.members.remove(name)
    }

    /// Places the errors of a field.
    fn keep<T>(&mut self, name: &str, read: Read<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(errors) => {
                let placed = errors.into_iter().map(|error| FieldError {
                    pointer: pointer_to(name) + &error.pointer,
                    detail: error.detail,
                });
                extend(&mut self.errors, placed);
                None
            }
        }
    }

    /// A field that must be there and not `null`.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Option<T> {
        let read = match self.take(name) {
            Some(Value::Null) => Err(FieldError::here("can't be null")),
            Some(value) => read(value),
            None => Err(FieldError::here("is missing")),
        };
        self.keep(name, read)
    }

    /// A field that may be missing; `null` says the same.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Option<Option<T>> {
        match self.take(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => self.keep(name, read(value)).map(Some),
        }
    }

    /// A field of a merge patch.
    pub(crate) fn change<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Option<Change<T>> {
        match self.take(name) {
            None => Some(Change::Keep),
            Some(Value::Null) => Some(Change::Clear),
            Some(value) => self.keep(name, read(value)).map(Change::Set),
        }
    }

    /// Whether the field is there and was not taken yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Reads the fields, and adds an error for each unknown one.
    ///
    /// # Errors
    /// With all errors noted.
    pub(crate) fn finish<T>(mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Read<T> {
        let value = read(&mut self);
        if !self.members.is_empty() {
            let known = self.known.join(", ");
            let unknown = self.members.keys().map(|name| {
                let detail = if known.is_empty() {
                    "is unknown; there are no fields here".to_owned()
                } else {
                    format!("is unknown; the fields here are {known}")
                };
                FieldError::new(pointer_to(name), detail)
            });
            extend(&mut self.errors, unknown);
        }
        if self.errors.is_empty() {
            value.ok_or_else(|| FieldError::here("is incomplete"))
        } else {
            Err(self.errors)
        }
    }
}

/// Notes an error when both of two fields have a value.
pub(crate) fn exclusive<A, B>(
    object: &mut Object,
    first: (&str, &Option<Option<A>>),
    second: (&str, &Option<Option<B>>),
) {
    if let (Some(Some(_)), Some(Some(_))) = (first.1, second.1) {
        let detail = format!("can't be combined with {}; send one of the two", first.0);
        extend(
            &mut object.errors,
            [FieldError::new(pointer_to(second.0), detail)],
        );
    }
}

/// The pointer to a member of this name, RFC 6901 section 3; a long name is cut.
pub(crate) fn pointer_to(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Reads a string.
pub(crate) fn text(value: Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(FieldError::here("must be a string"))
        }
    }
}

/// Reads a string into a type of the domain.
pub(crate) fn parsed<T, E: ToString>(
    parse: impl FnOnce(String) -> Result<T, E>,
) -> impl FnOnce(Value) -> Read<T> {
    move |value| parse(text(value)?).map_err(FieldError::here)
}

/// Reads a whole number within bounds.
pub(crate) fn whole_within(value: &Value, min: u64, max: u64) -> Read<u64> {
    whole_number(value)
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| FieldError::here(format!("must be a whole number from {min} to {max}")))
}

/// A number without a fraction, however it is written: to JSON Schema `7.0` and `7e0` are integers too,
/// and there are languages that write them so.
fn whole_number(value: &Value) -> Option<u64> {
    /// Below 2^53 a float holds each whole number exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let exact = number.fract() == 0.0 && (0.0..EXACT).contains(&number);
        // The sign goes, for zero has two.
        exact.then(|| format!("{:.0}", number.abs()).parse().ok())?
    })
}

/// Reads `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Read<bool> {
    value
        .as_bool()
        .ok_or_else(|| FieldError::here("must be true or false"))
}

/// Reads the items of a list.
pub(crate) fn items<T>(read: impl Fn(Value) -> Read<T>) -> impl FnOnce(Value) -> Read<Vec<T>> {
    move |value| {
        let Value::Array(items) = value else {
            return Err(FieldError::here("must be a list"));
        };
        let mut errors = Vec::new();
        let mut found = Vec::new();
        for (n, item) in items.into_iter().enumerate() {
            match read(item) {
                Ok(item) => found.push(item),
                Err(wrong) => {
                    let placed = wrong.into_iter().map(|error| {
                        FieldError::new(format!("/{n}{}", error.pointer), error.detail)
                    });
                    extend(&mut errors, placed);
                }
            }
        }
        if errors.is_empty() {
            Ok(found)
        } else {
            Err(errors)
        }
    }
}

/// Reads an object whose names are free.
pub(crate) fn pairs<T>(
    read: impl Fn(Value) -> Read<T>,
) -> impl FnOnce(Value) -> Read<Vec<(String, T)>> {
    move |value| {
        Object::of_value(value)?.finish(|object| {
            let mut found = Vec::new();
            for (name, value) in std::mem::take(&mut object.members) {
                if let Some(value) = object.keep(&name, read(value)) {
                    found.push((name, value));
                }
            }
            Some(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, Option<u64>), BodyError> {
        Object::of_body(body.as_bytes())?
            .finish(|object| {
                let name = object.required("name", text);
                let count = object.optional("count", |value| whole_within(&value, 1, 9));
                Some((name?, count?))
            })
            .map_err(BodyError::Invalid)
    }

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let actual = match read(body) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(_)) => vec!["syntax".to_owned()],
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(actual, pointers, "{body}");
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let count = |text: &str| read(&format!(r#"{{"name": "a", "count": {text}}}"#));
        for text in ["7", "7.0", "7e0", "0.7e1", "70E-1"] {
            assert_eq!(count(text), Ok(("a".to_owned(), Some(7))), "{text}");
        }
        let zero = |text: &str| whole_within(&serde_json::from_str(text).unwrap(), 0, 9);
        assert_eq!([zero("0"), zero("-0"), zero("-0.0")], [Ok(0), Ok(0), Ok(0)]);
    }

    #[test]
    fn no_more_errors_are_listed_than_an_answer_holds() {
        let members: Vec<String> = (0..5000).map(|n| format!("\"{n}\": 1")).collect();
        let wrong = read(&format!("{{{}}}", members.join(", ")));
        assert!(matches!(wrong, Err(BodyError::Invalid(errors)) if errors.len() == MAX_ERRORS));
        let items = Value::Array(vec![Value::Null; 5000]);
        assert_eq!(super::items(text)(items).unwrap_err().len(), MAX_ERRORS);
    }

    #[test]
    fn all_errors_point_to_their_field() {
        check(r#"{"name": "a", "count": 1}"#, &[]);
        check(r#"{"name": "a", "count": null}"#, &[]);
        check(
            r#"{"name": null, "count": 10, "~/": 1}"#,
            &["/name", "/count", "/~0~1"],
        );
        check(r#"{"count": 1.5}"#, &["/name", "/count"]);
        check(r#"{"name": "a", "count": 9.5}"#, &["/count"]);
        check(r#"{"name": "a", "count": 0.0}"#, &["/count"]);
        check(r#"{"name": "a", "count": 1e300}"#, &["/count"]);
        check(r#"{"count": -1, "name": {}}"#, &["/name", "/count"]);
        check("[]", &[""]);
        check("", &["syntax"]);
        check("{", &["syntax"]);
        check(r#"{"name": "a"} x"#, &["syntax"]);
        check(&"[".repeat(60_000), &["syntax"]);
    }
}
