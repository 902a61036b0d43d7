//! An org as it is sent to a provisioner.

use api::OrgView;
use ids::PlanName;
use orgs::{OrgConfig, ProvisionRequest};
use serde::Serialize;
use serde_json::{Map, Value};

/// The org as the API shows it, and for an update what it changes.
#[derive(Serialize)]
pub struct ProvisionedOrg {
    #[serde(flatten)]
    org: OrgView,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
}

#[derive(Serialize)]
struct Previous {
    plan: PlanName,
    options: Map<String, Value>,
}

impl ProvisionedOrg {
    pub fn new(request: &ProvisionRequest, login_url: &str) -> Self {
        let previous = request.previous.clone();
        Self {
            org: OrgView::new(request.org.clone(), login_url),
            previous: previous.map(|OrgConfig { plan, options }| Previous {
                plan,
                options: options.into_map(),
            }),
        }
    }
}
