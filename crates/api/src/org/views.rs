//! Orgs, their status, workspaces and billing as answers.

use ids::{KeyId, Labels, Name, OrgId, PartnerId, PlanName, WorkspaceId};
use orgs::{Failure, Org, Slug, Step, Subscription, Workspace};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Time, openapi::forms::of};

/// Why the last attempt at an org failed, on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureView {
    /// A word for it.
    #[schema(schema_with = of::text)]
    code: String,
    /// What the provisioner said.
    #[schema(schema_with = of::text)]
    message: String,
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
        }
    }
}

/// An org on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Org)]
pub struct OrgView {
    /// Its id.
    #[schema(schema_with = of::org_id)]
    id: OrgId,
    /// Its name.
    #[schema(schema_with = of::name)]
    name: Name,
    /// Its part of the URL.
    #[schema(schema_with = of::slug)]
    slug: String,
    /// Its plan.
    #[schema(schema_with = of::plan)]
    plan: PlanName,
    /// Where it stands.
    #[schema(schema_with = of::org_status)]
    status: &'static str,
    /// Whose it is.
    #[schema(schema_with = of::partner_id)]
    partner_id: PartnerId,
    /// The key that created it.
    #[schema(schema_with = of::key_id)]
    created_by_key_id: KeyId,
    /// The partner's own name for it.
    #[schema(schema_with = of::maybe_name)]
    external_id: Option<Name>,
    /// Labels.
    #[schema(schema_with = of::labels)]
    labels: Labels,
    /// Where its customer logs in.
    #[schema(schema_with = of::url)]
    login_url: String,
    /// When it was asked for.
    #[schema(schema_with = of::time)]
    created_at: Time,
    /// When it was first ready.
    #[schema(schema_with = of::maybe_time)]
    ready_at: Option<Time>,
    /// When its lease ends, if it has one.
    #[schema(schema_with = of::maybe_time)]
    expires_at: Option<Time>,
    /// When it was gone.
    #[schema(schema_with = of::maybe_time)]
    deleted_at: Option<Time>,
    /// Why the last attempt failed.
    failure: Option<FailureView>,
}

impl OrgView {
    /// The org; `login_url` is the page that takes the slug as its parameter `org`.
    #[must_use]
    pub fn new(org: Org, login_url: &str) -> Self {
        Self {
            id: org.id,
            name: org.name,
            login_url: org_login_url(login_url, &org.slug),
            slug: org.slug.to_string(),
            plan: org.plan,
            status: org.status.as_str(),
            partner_id: org.partner_id,
            created_by_key_id: org.created_by_key_id,
            external_id: org.external_id,
            labels: org.labels,
            created_at: Time(org.created_at),
            ready_at: org.ready_at.map(Time),
            expires_at: org.expires_at.map(Time),
            deleted_at: org.deleted_at.map(Time),
            failure: org.failure.map(FailureView::from),
        }
    }
}

/// One of the orgs that are deleted by label.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeletedOrg)]
pub struct DeletedOrgView {
    /// Its id.
    #[schema(schema_with = of::org_id)]
    id: OrgId,
    /// Its part of the URL.
    #[schema(schema_with = of::slug)]
    slug: String,
    /// In a dry run the status before the deletion, else the one after it.
    #[schema(schema_with = of::org_status)]
    status: &'static str,
}

/// The orgs that are deleted by label, all of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeletedOrgs)]
pub struct DeletedOrgsView {
    /// The orgs, newest first.
    #[schema(max_items = 1000)]
    data: Vec<DeletedOrgView>,
}

impl DeletedOrgsView {
    /// What an answer says of the orgs: enough to find them, for there can be a thousand.
    #[must_use]
    pub fn new(orgs: &[Org]) -> Self {
        let data = orgs.iter().map(|org| DeletedOrgView {
            id: org.id,
            slug: org.slug.to_string(),
            status: org.status.as_str(),
        });
        Self {
            data: data.collect(),
        }
    }
}

/// Where an org's customer logs in. A slug needs no escaping.
fn org_login_url(base: &str, slug: &Slug) -> String {
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}org={slug}")
}

/// A step of an org on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub struct StepView {
    /// Which one.
    #[schema(schema_with = of::step_name)]
    name: &'static str,
    /// Where it stands.
    #[schema(schema_with = of::step_status)]
    status: &'static str,
    /// How often it was begun, what was cut off with its server not counted.
    #[schema(schema_with = of::attempts)]
    attempts: u32,
    /// When it was last begun.
    #[schema(schema_with = of::maybe_time)]
    started_at: Option<Time>,
    /// When it last ended.
    #[schema(schema_with = of::maybe_time)]
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

/// An org's status on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrgState)]
pub struct StatusView {
    /// The org's id.
    #[schema(schema_with = of::org_id)]
    id: OrgId,
    /// Its part of the URL.
    #[schema(schema_with = of::slug)]
    slug: String,
    /// Where it stands.
    #[schema(schema_with = of::org_status)]
    status: &'static str,
    /// When it was asked for.
    #[schema(schema_with = of::time)]
    created_at: Time,
    /// When it last changed.
    #[schema(schema_with = of::time)]
    updated_at: Time,
    /// Where its customer logs in.
    #[schema(schema_with = of::url)]
    login_url: String,
    /// The steps in which it is made or taken away.
    steps: Vec<StepView>,
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

/// A workspace on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Workspace)]
pub struct WorkspaceView {
    /// Its id.
    #[schema(schema_with = of::workspace_id)]
    id: WorkspaceId,
    /// The org that it is in.
    #[schema(schema_with = of::org_id)]
    org_id: OrgId,
    /// Its name.
    #[schema(schema_with = of::name)]
    name: Name,
    /// Its part of the URL.
    #[schema(schema_with = of::slug)]
    slug: String,
    /// When it was made.
    #[schema(schema_with = of::time)]
    created_at: Time,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        Self {
            id: workspace.id,
            org_id: workspace.org_id,
            name: workspace.name,
            slug: workspace.slug.to_string(),
            created_at: Time(workspace.created_at),
        }
    }
}

/// A subscription on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
struct SubscriptionView {
    /// Whether the org is paid for.
    #[schema(schema_with = of::subscription_status)]
    status: &'static str,
    /// When the period began.
    #[schema(schema_with = of::time)]
    current_period_start: Time,
    /// When it ends.
    #[schema(schema_with = of::time)]
    current_period_end: Time,
    /// When the subscription ends, if that is settled.
    #[schema(schema_with = of::maybe_time)]
    cancel_at: Option<Time>,
}

/// The billing state of an org on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Billing)]
pub struct BillingView {
    /// The org.
    #[schema(schema_with = of::org_id)]
    org_id: OrgId,
    /// Its plan.
    #[schema(schema_with = of::plan)]
    plan: PlanName,
    /// Its subscription.
    subscription: SubscriptionView,
}

impl BillingView {
    /// The billing state of an org.
    #[must_use]
    pub fn new(org: Org, subscription: &Subscription) -> Self {
        Self {
            org_id: org.id,
            plan: org.plan,
            subscription: SubscriptionView {
                status: subscription.status.as_str(),
                current_period_start: Time(subscription.current_period_start),
                current_period_end: Time(subscription.current_period_end),
                cancel_at: subscription.cancel_at.map(Time),
            },
        }
    }
}
