//! `molctl org update`.

use clap::{Args, ValueEnum};
use molecule_client::{Client, OrgChanges, OrgId};
use serde_json::{Map, Value};

use super::super::{changed, expect_status, label, label_changes, object};
use crate::{context::Context, durations::Span, failure::Failure};

/// Change an org. A new plan or new options take work of the platform; the rest changes at once.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The id of the org.
    org: OrgId,
    /// The new name.
    #[arg(long)]
    name: Option<String>,
    /// Your own identifier for the org.
    #[arg(long)]
    external_id: Option<String>,
    /// The new plan.
    #[arg(long)]
    plan: Option<String>,
    /// Changes to the options, a JSON object: null takes a member away.
    #[arg(long, value_name = "JSON", value_parser = object)]
    options: Option<Map<String, Value>>,
    /// A label to set, as key:value. It can be repeated.
    #[arg(long, value_parser = label, value_name = "KEY:VALUE")]
    label: Vec<(String, String)>,
    /// A label to remove. It can be repeated.
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
    /// Whether deleting the org is refused: true or false.
    #[arg(long, value_name = "BOOL")]
    delete_protection: Option<bool>,
    /// What to put back to its default. It can be repeated.
    #[arg(long, value_enum, value_name = "FIELD")]
    clear: Vec<Clear>,
    /// Wait until the org is ready again.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, default_value = "10m", value_name = "TIME")]
    timeout: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clear {
    ExternalId,
    Labels,
    Options,
}

impl Update {
    pub(crate) async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let (org, clear) = (self.org, &*self.clear);
        let changes = OrgChanges {
            name: self.name,
            external_id: changed(clear, Clear::ExternalId, self.external_id),
            labels: changed(
                clear,
                Clear::Labels,
                label_changes(self.label, self.remove_label),
            ),
            delete_protection: self.delete_protection.map(Some),
            plan: self.plan,
            options: changed(clear, Clear::Options, self.options),
        };
        let updated = client.update_org(org, &changes).await?;
        if !self.wait {
            return context.output.one(&updated);
        }
        context.goes_on.set(
            &updated,
            format!("The server goes on. Look by: molctl org status {org}"),
        );
        let state = client.wait_for_org(org, self.timeout.0).await?;
        context.output.one(&client.org(org).await?)?;
        expect_status(&state, "ready")?;
        match state.failure {
            Some(failure) if failure.code.as_str() == "update-failed" => {
                let why = crate::table::clean(&failure.message);
                Err(Failure::OrgFailed(format!(
                    "The org {org} is as it was: {why}"
                )))
            }
            _ => Ok(()),
        }
    }
}
