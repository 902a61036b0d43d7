//! Schemas of the options that orgs of a plan can have: JSON Schema 2020-12.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use jsonschema::{PatternOptions, Validator};
use orgs::{MAX_OPTION_FAULTS, OptionRules, OptionsSchema, OrgOptions};
use serde_json::Value;

/// How many characters of one fault are told.
const MAX_DETAIL: usize = 300;

struct Rules(Validator);

/// The schema of a plan's options. Other documents are not fetched.
///
/// # Errors
/// When it is no JSON Schema 2020-12, or refers to another document.
pub fn options_schema(schema: Value) -> anyhow::Result<OptionsSchema> {
    Ok(OptionsSchema::new(
        schema.clone(),
        Arc::new(rules(&schema)?),
    ))
}

fn rules(schema: &Value) -> anyhow::Result<Rules> {
    ensure!(schema.is_object(), "must be an object");
    let validator = jsonschema::draft202012::options()
        .offline()
        // Partners choose the texts that patterns are matched against: the time must be linear.
        .with_pattern_options(PatternOptions::regex())
        .build(schema);
    let invalid = |error: jsonschema::ValidationError<'_>| {
        anyhow!(
            "not a JSON Schema (2020-12): {error}, at {:?}",
            error.instance_path().as_str()
        )
    };
    Ok(Rules(validator.map_err(invalid)?))
}

impl OptionRules for Rules {
    fn faults(&self, options: &OrgOptions) -> Vec<(String, String)> {
        let object = Value::Object(options.as_map().clone());
        let errors = self.0.iter_errors(&object).take(MAX_OPTION_FAULTS);
        errors
            .map(|error| {
                let detail = error.masked().to_string();
                let detail = detail.chars().take(MAX_DETAIL).collect();
                (error.instance_path().as_str().to_owned(), detail)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: &Value) -> OrgOptions {
        OrgOptions::new(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn faults_are_told_by_pointers() {
        let schema = json!({
            "properties": {"size": {"type": "integer"}, "name": {"pattern": "^a+$"}},
            "required": ["size"],
            "additionalProperties": false,
        });
        let rules = rules(&schema).unwrap();
        let check = |value: Value, expect: &[&str]| {
            let faults = rules.faults(&options(&value));
            let actual: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
            assert_eq!(actual, expect, "{value}: {faults:?}");
        };
        check(json!({"size": 3, "name": "aa"}), &[]);
        check(json!({}), &[""]);
        check(json!({"size": "3"}), &["/size"]);
        check(json!({"size": 3, "b": 1}), &[""]);
        check(json!({"size": 3, "name": "b"}), &["/name"]);
    }

    #[test]
    fn a_fault_does_not_repeat_what_was_sent_and_is_short() {
        let schema = json!({"additionalProperties": {"enum": ["x".repeat(2000)]}});
        let rules = rules(&schema).unwrap();
        let many: serde_json::Map<_, _> =
            (0..200).map(|n| (format!("k{n}"), json!("hush"))).collect();
        let faults = rules.faults(&OrgOptions::new(many).unwrap());
        assert_eq!(faults.len(), MAX_OPTION_FAULTS);
        for (_, detail) in faults {
            assert!(
                !detail.contains("hush") && detail.len() <= MAX_DETAIL,
                "{detail}"
            );
        }
    }

    #[test]
    fn a_broken_schema_is_refused_and_none_is_fetched() {
        for schema in [
            json!(true),
            json!({"type": "number of things"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"properties": {"a": {"pattern": "("}}}),
            json!({"properties": {"a": {"pattern": "(?=a)"}}}),
        ] {
            assert!(options_schema(schema.clone()).is_err(), "{schema}");
        }
    }
}
