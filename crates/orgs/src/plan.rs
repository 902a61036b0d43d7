//! The catalogue of plans that orgs can have, and the options that each of them takes.

use std::{fmt, sync::Arc};

use ids::{Name, PlanName};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::OrgOptions;

/// How many faults of options are told at the most. A problem document has room for 50, and others may come
/// before these.
const MAX_FAULTS: usize = 40;
/// How many characters of one of them.
const MAX_DETAIL: usize = 300;

/// Why plans make no catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCatalogue {
    /// There are none.
    #[error("name at least one plan")]
    Empty,
    /// Two have one name.
    #[error("{0} is there twice")]
    Twice(PlanName),
}

/// A schema is none of JSON Schema 2020-12, or refers to another document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Schema (2020-12): {0}")]
pub struct InvalidSchema(String);

/// What the options of a plan's orgs must satisfy.
#[derive(Clone)]
pub struct OptionsSchema {
    schema: Value,
    validator: Arc<Validator>,
}

impl OptionsSchema {
    /// This schema of JSON Schema 2020-12. Other documents are not fetched.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(schema: Value) -> Result<Self, InvalidSchema> {
        if !schema.is_object() {
            return Err(InvalidSchema("must be an object".to_owned()));
        }
        let validator = jsonschema::draft202012::options()
            .offline()
            // Partners choose the texts that patterns are matched against: the time must be linear.
            .with_pattern_options(PatternOptions::regex())
            .build(&schema)
            .map_err(|error| {
                InvalidSchema(format!("{error}, at {:?}", error.instance_path().as_str()))
            })?;
        Ok(Self {
            schema,
            validator: Arc::new(validator),
        })
    }

    /// The schema as it was given.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.schema
    }

    /// What is wrong with options: pointers into them (RFC 6901), and what is wrong there. Values are not
    /// repeated.
    fn faults(&self, options: &OrgOptions) -> Vec<(String, String)> {
        let object = Value::Object(options.as_map().clone());
        let errors = self.validator.iter_errors(&object).take(MAX_FAULTS);
        errors
            .map(|error| {
                let detail = error
                    .masked()
                    .to_string()
                    .chars()
                    .take(MAX_DETAIL)
                    .collect();
                (error.instance_path().as_str().to_owned(), detail)
            })
            .collect()
    }
}

impl fmt::Debug for OptionsSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OptionsSchema").field(&self.schema).finish()
    }
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub id: PlanName,
    /// Its name for people.
    pub title: Option<Name>,
    /// What it is.
    pub description: Option<String>,
    /// What the options of its orgs must satisfy; any object does where there is none.
    pub options_schema: Option<OptionsSchema>,
}

impl From<PlanName> for Plan {
    fn from(id: PlanName) -> Self {
        Self {
            id,
            title: None,
            description: None,
            options_schema: None,
        }
    }
}

/// The plans that orgs can have, in the operator's order.
#[derive(Clone, Debug)]
pub struct PlanCatalogue(Arc<[Plan]>);

impl PlanCatalogue {
    /// A catalogue of these plans.
    ///
    /// # Errors
    /// When there are none, or two of one name.
    pub fn new(plans: impl IntoIterator<Item = impl Into<Plan>>) -> Result<Self, InvalidCatalogue> {
        let plans: Arc<[Plan]> = plans.into_iter().map(Into::into).collect();
        if plans.is_empty() {
            return Err(InvalidCatalogue::Empty);
        }
        let catalogue = Self(plans);
        for plan in catalogue.iter() {
            if catalogue.iter().filter(|other| other.id == plan.id).count() > 1 {
                return Err(InvalidCatalogue::Twice(plan.id.clone()));
            }
        }
        Ok(catalogue)
    }

    /// The plans, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.0.iter()
    }

    fn get(&self, plan: &PlanName) -> Option<&Plan> {
        self.iter().find(|one| one.id == *plan)
    }

    /// Whether an org can have this plan.
    #[must_use]
    pub fn contains(&self, plan: &PlanName) -> bool {
        self.get(plan).is_some()
    }

    /// What keeps an org of this plan from having these options: pointers into them (RFC 6901), and what is
    /// wrong there.
    #[must_use]
    pub fn option_faults(&self, plan: &PlanName, options: &OrgOptions) -> Vec<(String, String)> {
        let schema = self.get(plan).and_then(|plan| plan.options_schema.as_ref());
        schema.map_or_else(Vec::new, |schema| schema.faults(options))
    }
}

/// The names, separated by commas.
impl fmt::Display for PlanCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, plan) in self.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            f.write_str(plan.id.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(name: &str) -> PlanName {
        PlanName::new(name).unwrap()
    }

    fn options(value: Value) -> OrgOptions {
        OrgOptions::new(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn options_must_satisfy_the_schema_of_their_plan() {
        let schema = json!({
            "properties": {"size": {"type": "integer"}, "name": {"pattern": "^a+$"}},
            "required": ["size"],
            "additionalProperties": false,
        });
        let large = Plan {
            options_schema: Some(OptionsSchema::new(schema).unwrap()),
            ..Plan::from(plan("large"))
        };
        let catalogue = PlanCatalogue::new([large, plan("free").into()]).unwrap();
        let check = |value: Value, expect: &[&str]| {
            let faults = catalogue.option_faults(&plan("large"), &options(value.clone()));
            let actual: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
            assert_eq!(actual, expect, "{value}: {faults:?}");
            assert_eq!(catalogue.option_faults(&plan("free"), &options(value)), []);
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
        let schema = OptionsSchema::new(schema).unwrap();
        let many: serde_json::Map<_, _> =
            (0..200).map(|n| (format!("k{n}"), json!("hush"))).collect();
        let faults = schema.faults(&OrgOptions::new(many).unwrap());
        assert_eq!(faults.len(), MAX_FAULTS);
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
            assert!(OptionsSchema::new(schema.clone()).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_catalogue_has_plans_of_different_names() {
        let of = |names: &[&str]| PlanCatalogue::new(names.iter().map(|name| plan(name)));
        assert_eq!(of(&[]).unwrap_err(), InvalidCatalogue::Empty);
        assert_eq!(
            of(&["a", "b", "a"]).unwrap_err(),
            InvalidCatalogue::Twice(plan("a"))
        );
        assert_eq!(of(&["b", "a"]).unwrap().to_string(), "b, a");
    }
}
