//! Plans that orgs can have.

use api_macros::Response;
use ids::{Name, PlanName};
use orgs::Plan;
use serde::Serialize;
use serde_json::Value;

use crate::wire::{AnyObject, Present};

/// A plan that orgs can have.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Plan")]
pub struct PlanView {
    /// The name of the plan, as orgs have it.
    id: PlanName,
    /// The name of the plan for people.
    #[api(as = Present<Name>, example = "Standard")]
    title: Option<Name>,
    /// What the plan is.
    #[api(example = "For teams of up to 50.")]
    description: Option<String>,
    /// A JSON Schema (2020-12) that the `options` of the orgs must satisfy; `null` if they may be any object.
    #[api(as = Present<AnyObject>, example = {"type": "object", "properties": {"size": {"type": "integer"}}})]
    options_schema: Option<Value>,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id,
            title: plan.title,
            description: plan.description,
            options_schema: plan.options_schema.map(|schema| schema.as_value().clone()),
        }
    }
}
