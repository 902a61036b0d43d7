//! An org as a provisioner of the operator's is told of it.

use api::OrgView;
use orgs::{Org, StepName};

/// The name of what is asked for, as programs are called with it.
pub const fn verb(step: StepName) -> &'static str {
    match step {
        StepName::Provision | StepName::Workspace => "provision",
        StepName::Deprovision => "deprovision",
    }
}

/// The org's resource, as the API shows it, in one line.
pub fn org_json(org: &Org, login_url: &str) -> serde_json::Result<String> {
    serde_json::to_string(&OrgView::new(org.clone(), login_url))
}
