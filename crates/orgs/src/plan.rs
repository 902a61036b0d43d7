//! The catalogue of plans that orgs can have.

use std::fmt;

use ids::PlanName;

/// A catalogue needs at least one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name at least one plan")]
pub struct EmptyCatalogue;

/// The plans that orgs can have, in the operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCatalogue(Vec<PlanName>);

impl PlanCatalogue {
    /// A catalogue of these plans.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(plans: impl IntoIterator<Item = PlanName>) -> Result<Self, EmptyCatalogue> {
        let plans: Vec<_> = plans.into_iter().collect();
        if plans.is_empty() {
            Err(EmptyCatalogue)
        } else {
            Ok(Self(plans))
        }
    }

    /// Whether an org can have this plan.
    #[must_use]
    pub fn contains(&self, plan: &PlanName) -> bool {
        self.0.contains(plan)
    }
}

/// The names, separated by commas.
impl fmt::Display for PlanCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .0
                .iter()
                .map(PlanName::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        )
    }
}
