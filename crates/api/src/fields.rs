//! A JSON object read member by member, so that one answer names everything that is wrong with it.

use keys::Change;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{openapi::forms::of, strict::Strict};

/// One thing that is wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901) into the body; empty for the body as a whole.
    #[schema(schema_with = of::pointer)]
    pub pointer: String,
    /// What is wrong and what would be right.
    #[schema(schema_with = of::text)]
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

/// How many errors one answer lists at the most: a body of 64 KiB can hold tens of thousands.
pub const MAX_ERRORS: usize = 50;

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

/// What reading one value gives: the value, or errors with pointers that start at it.
type Read<T> = Result<T, Vec<FieldError>>;

/// The members of one object, taken out one by one. What is left at the end is unknown, and an error.
#[derive(Debug)]
pub struct Fields {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Takes the body of a request.
    ///
    /// # Errors
    /// When it is not JSON, or not an object.
    pub fn of_body(body: &[u8]) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Err(BodyError::Syntax(
                "the body is empty; send a JSON object".to_owned(),
            ));
        }
        let Strict(value) = serde_json::from_slice(body)
            .map_err(|error| BodyError::Syntax(format!("the body is not JSON: {error}")))?;
        Self::of_value(value).map_err(BodyError::Invalid)
    }

    fn of_value(value: Value) -> Read<Self> {
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

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.members.remove(name)
    }

    fn keep<T>(&mut self, name: &str, read: Read<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(errors) => {
                let placed = errors.into_iter().map(|error| FieldError {
                    pointer: format!("/{}{}", escaped(name), error.pointer),
                    detail: error.detail,
                });
                extend(&mut self.errors, placed);
                None
            }
        }
    }

    /// A member that must be there and not `null`.
    pub fn required<T>(
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

    /// A member that may be missing; `null` says the same.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.keep(name, read(value)),
        }
    }

    /// A member of a merge patch that can't be cleared.
    pub fn replaced<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Option<T> {
        if self.members.contains_key(name) {
            self.required(name, read)
        } else {
            self.known.push(name);
            None
        }
    }

    /// A member of a merge patch.
    pub fn change<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Change<T> {
        match self.take(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => self
                .keep(name, read(value))
                .map_or(Change::Keep, Change::Set),
        }
    }

    /// Notes an error of a member.
    pub fn error(&mut self, name: &str, detail: impl ToString) {
        let error = FieldError::new(format!("/{}", escaped(name)), detail.to_string());
        extend(&mut self.errors, [error]);
    }

    /// Whether the member is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Ends the reading: `make` is asked for the result when nothing was wrong.
    ///
    /// # Errors
    /// With all errors noted, unknown members among them.
    pub fn build<T>(mut self, make: impl FnOnce() -> Option<T>) -> Read<T> {
        let known = self.known.join(", ");
        let unknown = self.members.keys().map(|name| {
            FieldError::new(
                format!("/{}", escaped(name)),
                format!("is unknown here; the members are {known}"),
            )
        });
        extend(&mut self.errors, unknown);
        if self.errors.is_empty() {
            make().ok_or_else(|| FieldError::here("is incomplete"))
        } else {
            Err(self.errors)
        }
    }
}

/// A member's name within a JSON pointer, RFC 6901 section 3; a long one is cut.
fn escaped(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    name.replace('~', "~0").replace('/', "~1")
}

/// Reads a text.
pub(crate) fn text(value: Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(FieldError::here("must be a string"))
        }
    }
}

/// Reads a text into a type of the domain.
pub(crate) fn parsed<T, E: ToString>(
    parse: impl FnOnce(String) -> Result<T, E>,
) -> impl FnOnce(Value) -> Read<T> {
    move |value| parse(text(value)?).map_err(FieldError::here)
}

/// Reads a whole number within bounds.
pub(crate) fn whole(min: u64, max: u64) -> impl FnOnce(Value) -> Read<u64> {
    move |value| {
        whole_number(&value)
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| FieldError::here(format!("must be a whole number from {min} to {max}")))
    }
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
pub(crate) fn boolean(value: Value) -> Read<bool> {
    value
        .as_bool()
        .ok_or_else(|| FieldError::here("must be true or false"))
}

/// Reads a list, each item by itself.
pub(crate) fn list<T>(read: impl Fn(Value) -> Read<T>) -> impl FnOnce(Value) -> Read<Vec<T>> {
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

/// Reads an object's members as pairs.
pub(crate) fn pairs<T>(
    read: impl Fn(Value) -> Read<T>,
) -> impl FnOnce(Value) -> Read<Vec<(String, T)>> {
    move |value| {
        let mut fields = Fields::of_value(value)?;
        let members = std::mem::take(&mut fields.members);
        let mut found = Vec::new();
        for (name, value) in members {
            if let Some(value) = fields.keep(&name, read(value)) {
                found.push((name, value));
            }
        }
        fields.build(|| Some(found))
    }
}

/// Reads an object with known members.
pub(crate) fn object<T>(read: impl FnOnce(Fields) -> Read<T>) -> impl FnOnce(Value) -> Read<T> {
    move |value| read(Fields::of_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, Option<u64>), BodyError> {
        let mut fields = Fields::of_body(body.as_bytes())?;
        let name = fields.required("name", text);
        let count = fields.optional("count", whole(1, 9));
        fields
            .build(|| Some((name?, count)))
            .map_err(BodyError::Invalid)
    }

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let told = match read(body) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(_)) => vec!["syntax".to_owned()],
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(told, pointers, "{body}");
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let count = |text: &str| read(&format!(r#"{{"name": "a", "count": {text}}}"#));
        for text in ["7", "7.0", "7e0", "0.7e1", "70E-1"] {
            assert_eq!(count(text), Ok(("a".to_owned(), Some(7))), "{text}");
        }
        let zero = |text: &str| whole(0, 9)(serde_json::from_str(text).unwrap());
        assert_eq!([zero("0"), zero("-0"), zero("-0.0")], [Ok(0), Ok(0), Ok(0)]);
    }

    #[test]
    fn no_more_errors_are_listed_than_an_answer_holds() {
        let members: Vec<String> = (0..5000).map(|n| format!("\"{n}\": 1")).collect();
        let wrong = read(&format!("{{{}}}", members.join(", ")));
        assert!(matches!(wrong, Err(BodyError::Invalid(errors)) if errors.len() == MAX_ERRORS));
        let items = Value::Array(vec![Value::Null; 5000]);
        assert_eq!(list(text)(items).unwrap_err().len(), MAX_ERRORS);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_its_place() {
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
