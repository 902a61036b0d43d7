//! The status of an org, for polling.

use api_macros::Response;
use ids::OrgId;
use orgs::{Org, OrgStatus, Slug, Step, StepName, StepStatus};
use serde::Serialize;

use super::{FailureView, org_login_url};
use crate::{Time, wire::Url};

/// A step in which an org is created, changed or deleted.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Step")]
pub struct StepView {
    /// The name of the step.
    #[api(as = StepName)]
    name: &'static str,
    /// The status of the step.
    #[api(as = StepStatus, example = "succeeded")]
    status: &'static str,
    /// The number of attempts, not counting those interrupted by a server that stopped.
    #[api(example = 1)]
    attempts: u32,
    /// The time at which the last attempt started.
    #[api(example = "2026-04-23T08:00:00.000000Z")]
    started_at: Option<Time>,
    /// The time at which the last attempt ended.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    finished_at: Option<Time>,
}

impl From<&Step> for StepView {
    fn from(step: &Step) -> Self {
        Self {
            name: step.name.as_str(),
            status: step.status.as_str(),
            attempts: step.attempts,
            started_at: step.started_at.map(Time),
            finished_at: step.finished_at.map(Time),
        }
    }
}

/// The status of an org, for polling.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "OrgState")]
pub struct StatusView {
    /// The id of the org.
    id: OrgId,
    /// The part of the URL that names the org: 3 to 32 lower-case letters, digits and single hyphens.
    #[api(as = Slug)]
    slug: String,
    /// The status of the org.
    #[api(as = OrgStatus, example = "ready")]
    status: &'static str,
    /// The time at which the org was requested.
    created_at: Time,
    /// The time of the last change.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    updated_at: Time,
    /// The page at which the customer logs in.
    #[api(as = Url)]
    login_url: String,
    /// The steps in which the org is created, changed or deleted.
    steps: Vec<StepView>,
    /// Why the last attempt to create, change or delete the org failed; `null` if it did not.
    failure: Option<FailureView>,
}

impl StatusView {
    /// The org's status.
    #[must_use]
    pub fn new(org: &Org, steps: &[Step], login_url: &str) -> Self {
        Self {
            id: org.id,
            login_url: org_login_url(login_url, &org.slug),
            slug: org.slug.to_string(),
            status: org.status.as_str(),
            created_at: Time(org.created_at),
            updated_at: Time(org.updated_at),
            steps: steps.iter().map(StepView::from).collect(),
            failure: org.failure.clone().map(FailureView::from),
        }
    }
}
