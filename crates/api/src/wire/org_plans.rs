//! Plans to which a key or a trust rule is held.

use ids::PlanName;
use serde_json::Value;

use super::{
    FieldError, FromJson, Read,
    object::{items, parsed},
};

/// Plans of orgs, at least one, each once.
pub(crate) struct OrgPlans(pub(crate) Vec<PlanName>);

impl<C> FromJson<C> for OrgPlans {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let plans = items(|value| parsed(PlanName::new)(value))(value)?;
        let mut distinct: Vec<PlanName> = Vec::new();
        for plan in plans {
            if !distinct.contains(&plan) {
                distinct.push(plan);
            }
        }
        if distinct.is_empty() {
            let text = "must name at least one plan; leave it out to allow all";
            return Err(FieldError::here(text));
        }
        Ok(Self(distinct))
    }
}
