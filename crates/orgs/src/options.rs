//! The options of an org: a JSON object that the provisioner is given, and that its plan may describe.

use std::fmt;

use serde_json::{Map, Value};

/// Options would be longer than [`OrgOptions::MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("options are at most {} bytes of JSON", OrgOptions::MAX_BYTES)]
pub struct OptionsTooLong;

/// The options of an org, by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgOptions(Map<String, Value>);

impl OrgOptions {
    /// How long their JSON may be.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The options of this object.
    ///
    /// # Errors
    /// When its JSON is longer than [`OrgOptions::MAX_BYTES`].
    pub fn new(object: Map<String, Value>) -> Result<Self, OptionsTooLong> {
        let options = Self(object);
        if options.to_string().len() <= Self::MAX_BYTES {
            Ok(options)
        } else {
            Err(OptionsTooLong)
        }
    }

    /// The options after a merge patch (RFC 7396).
    ///
    /// # Errors
    /// When the result is longer than [`OrgOptions::MAX_BYTES`].
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, OptionsTooLong> {
        let mut object = self.0.clone();
        merge(&mut object, patch);
        Self::new(object)
    }

    /// The object.
    #[must_use]
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The object.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// The parser of JSON bounds how deep objects lie in each other.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            Value::Object(patch) => {
                let entry = target.entry(name.as_str()).or_insert(Value::Null);
                if !entry.is_object() {
                    *entry = Value::Object(Map::new());
                }
                if let Value::Object(target) = entry {
                    merge(target, patch);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The object as JSON.
impl fmt::Display for OrgOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[track_caller]
    fn check(before: Value, patch: Value, after: Value) {
        let before = OrgOptions::new(object(before)).unwrap();
        let patched = before.patched(&object(patch)).unwrap();
        assert_eq!(Value::Object(patched.into_map()), after);
    }

    #[test]
    fn options_are_patched_as_the_standard_says() {
        check(json!({"a": 1}), json!({}), json!({"a": 1}));
        check(
            json!({"a": 1}),
            json!({"a": 2, "b": [null]}),
            json!({"a": 2, "b": [null]}),
        );
        check(json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2}));
        check(
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": null}}),
            json!({"a": {"c": 2}}),
        );
        check(
            json!({"a": [1]}),
            json!({"a": {"b": {"c": null}}}),
            json!({"a": {"b": {}}}),
        );
    }

    #[test]
    fn options_have_a_greatest_length() {
        let of = |length: usize| object(json!({"a": "x".repeat(length)}));
        let frame = r#"{"a":""}"#.len();
        let longest = OrgOptions::new(of(OrgOptions::MAX_BYTES - frame)).unwrap();
        assert_eq!(longest.to_string().len(), OrgOptions::MAX_BYTES);
        assert_eq!(
            OrgOptions::new(of(OrgOptions::MAX_BYTES)),
            Err(OptionsTooLong)
        );
        assert_eq!(
            longest.patched(&object(json!({"b": 1}))),
            Err(OptionsTooLong)
        );
    }
}
