//! An org as it is sent to a provisioner.

use api::OrgView;
use orgs::{Org, StepName};

/// The first argument of the program.
pub const fn verb(step: StepName) -> &'static str {
    match step {
        StepName::Provision | StepName::Workspace => "provision",
        StepName::Deprovision => "deprovision",
    }
}

/// The org as the API shows it, in one line.
pub fn org_json(org: &Org, login_url: &str) -> serde_json::Result<String> {
    serde_json::to_string(&OrgView::new(org.clone(), login_url))
}
