//! The plans that orgs can have: names, or tables that describe them.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context as _, ensure};
use ids::{Name, PlanName};
use orgs::{Plan, PlanCatalogue};
use serde::Deserialize;
use serde_json::Value;

use super::{list, options_schema::options_schema};

/// A plan as a table of the file says it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPlan {
    id: String,
    title: Option<String>,
    description: Option<String>,
    /// A table, or a text of JSON.
    options_schema: Option<Value>,
}

impl RawPlan {
    fn plan(self) -> anyhow::Result<Plan> {
        let schema = match self.options_schema {
            Some(Value::String(text)) => {
                Some(serde_json::from_str(&text).context("options_schema: not JSON")?)
            }
            other => other,
        };
        Ok(Plan {
            id: PlanName::new(self.id).context("id")?,
            title: self.title.map(Name::new).transpose().context("title")?,
            description: self.description,
            options_schema: schema
                .map(options_schema)
                .transpose()
                .context("options_schema")?,
        })
    }
}

/// The catalogue of names, or of tables.
pub fn catalogue(names: Option<&str>, tables: Vec<RawPlan>) -> anyhow::Result<PlanCatalogue> {
    if tables.is_empty() {
        let mut names = list(Some(names.unwrap_or("free,standard,enterprise")));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let plans: Result<Vec<_>, _> = names.into_iter().map(PlanName::new).collect();
        return PlanCatalogue::new(plans.context("plans")?).context("plans");
    }
    ensure!(
        names.is_none(),
        "plans and [[plan]] are both given, by flag, variable or file; give one of them"
    );
    let plans: Vec<Plan> = tables
        .into_iter()
        .map(|raw| {
            let id = raw.id.clone();
            raw.plan().with_context(|| format!("the plan {id:?}"))
        })
        .collect::<Result<_, _>>()?;
    PlanCatalogue::new(plans).context("[[plan]]")
}

/// The catalogue as the file would say it, in names or in tables.
pub fn rows(plans: &PlanCatalogue) -> (Option<String>, String) {
    let is_plain = |plan: &Plan| {
        plan.title.is_none() && plan.description.is_none() && plan.options_schema.is_none()
    };
    if plans.iter().all(is_plain) {
        return (Some(plans.to_string()), String::new());
    }
    let mut text = String::new();
    for plan in plans.iter() {
        let schema = plan.options_schema.as_ref();
        let rows = [
            ("id", Some(plan.id.to_string())),
            ("title", plan.title.as_ref().map(ToString::to_string)),
            ("description", plan.description.clone()),
            (
                "options_schema",
                schema.map(|schema| schema.as_value().to_string()),
            ),
        ];
        text.push_str("\n[[plan]]\n");
        for (name, value) in rows {
            if let Some(value) = value.map(toml::Value::String) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{name} = {value}");
            }
        }
    }
    (None, text)
}
