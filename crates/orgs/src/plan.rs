//! The catalogue of plans that orgs can have, and the options that each of them takes.

use std::{fmt, sync::Arc};

use ids::{Name, PlanName};
use serde_json::Value;

use crate::OrgOptions;

/// How many faults of options are told at the most. A problem document has room for 50, and others may come
/// before these.
pub const MAX_OPTION_FAULTS: usize = 40;

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

/// The rules of a schema.
pub trait OptionRules: Send + Sync {
    /// What is wrong with options, [`MAX_OPTION_FAULTS`] at the most: pointers into them (RFC 6901), and
    /// what is wrong there. Values are not repeated.
    fn faults(&self, options: &OrgOptions) -> Vec<(String, String)>;
}

/// What the options of a plan's orgs must satisfy.
#[derive(Clone)]
pub struct OptionsSchema {
    schema: Value,
    rules: Arc<dyn OptionRules>,
}

impl OptionsSchema {
    /// This JSON Schema, and the rules that it makes.
    #[must_use]
    pub fn new(schema: Value, rules: Arc<dyn OptionRules>) -> Self {
        Self { schema, rules }
    }

    /// The schema as it was given.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.schema
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
        schema.map_or_else(Vec::new, |schema| schema.rules.faults(options))
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

    /// At most so many members.
    struct AtMost(usize);

    impl OptionRules for AtMost {
        fn faults(&self, options: &OrgOptions) -> Vec<(String, String)> {
            let faults = options.as_map().keys().skip(self.0);
            faults
                .map(|key| (format!("/{key}"), String::new()))
                .collect()
        }
    }

    #[test]
    fn options_must_satisfy_the_schema_of_their_plan() {
        let large = Plan {
            options_schema: Some(OptionsSchema::new(json!({}), Arc::new(AtMost(1)))),
            ..Plan::from(plan("large"))
        };
        let catalogue = PlanCatalogue::new([large, plan("free").into()]).unwrap();
        let two = options(json!({"a": 1, "b": 2}));
        let faults = catalogue.option_faults(&plan("large"), &two);
        assert_eq!(faults, [("/b".to_owned(), String::new())]);
        assert_eq!(catalogue.option_faults(&plan("free"), &two), []);
        let one = options(json!({"a": 1}));
        assert_eq!(catalogue.option_faults(&plan("large"), &one), []);
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
