//! Orgs, their status, workspaces and billing on the wire.

use ids::{KeyId, Labels, Name, OrgId, PartnerId, PlanName, WorkspaceId};
use orgs::{
    BillingDraft, Failure, Org, OrgDraft, OrgFilter, OrgSight, OrgStatus, Slug, Step, Subscription,
    SubscriptionStatus, Workspace, WorkspaceDraft,
};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    BodyError, FieldError, Fields, Query, QueryError, Time,
    fields::{object, parsed},
    parse_time,
    partner::labels,
};

/// Why the last attempt at an org failed, on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct FailureView {
    code: String,
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
#[derive(Clone, Debug, Serialize)]
pub struct OrgView {
    id: OrgId,
    name: Name,
    slug: String,
    plan: PlanName,
    status: &'static str,
    partner_id: PartnerId,
    created_by_key_id: KeyId,
    external_id: Option<Name>,
    labels: Labels,
    login_url: String,
    created_at: Time,
    ready_at: Option<Time>,
    expires_at: Option<Time>,
    deleted_at: Option<Time>,
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
            // Leases are not offered yet, so no org ends by itself.
            expires_at: None,
            deleted_at: org.deleted_at.map(Time),
            failure: org.failure.map(FailureView::from),
        }
    }
}

/// Where an org's customer logs in. A slug needs no escaping.
fn org_login_url(base: &str, slug: &Slug) -> String {
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}org={slug}")
}

/// A step of an org on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    name: &'static str,
    status: &'static str,
    attempts: u32,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
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
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    id: OrgId,
    slug: String,
    status: &'static str,
    created_at: Time,
    updated_at: Time,
    login_url: String,
    steps: Vec<StepView>,
    failure: Option<FailureView>,
}

impl StatusView {
    /// The org's status.
    #[must_use]
    pub fn new(org: Org, steps: Vec<Step>, login_url: &str) -> Self {
        Self {
            id: org.id,
            login_url: org_login_url(login_url, &org.slug),
            slug: org.slug.to_string(),
            status: org.status.as_str(),
            created_at: Time(org.created_at),
            updated_at: Time(org.updated_at),
            steps: steps.into_iter().map(StepView::from).collect(),
            failure: org.failure.map(FailureView::from),
        }
    }
}

/// A workspace on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct WorkspaceView {
    id: WorkspaceId,
    org_id: OrgId,
    name: Name,
    slug: String,
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
#[derive(Clone, Debug, Serialize)]
struct SubscriptionView {
    status: &'static str,
    current_period_start: Time,
    current_period_end: Time,
    cancel_at: Option<Time>,
}

/// The billing state of an org on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct BillingView {
    org_id: OrgId,
    plan: PlanName,
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

/// Reads the request for an org.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn org_draft(body: &[u8]) -> Result<OrgDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.required("name", parsed(Name::new));
    let slug = fields.required("slug", parsed(Slug::new));
    let plan = fields.required("plan", parsed(PlanName::new));
    let external_id = fields.optional("external_id", parsed(Name::new));
    let labels = fields.optional("labels", labels).unwrap_or_default();
    fields.not_offered("ttl_seconds", None);
    fields
        .build(|| {
            Some(OrgDraft {
                name: name?,
                slug: slug?,
                plan: plan?,
                external_id,
                labels,
            })
        })
        .map_err(BodyError::Invalid)
}

/// Reads which orgs to list within a sight. The operator may ask for one partner's.
///
/// # Errors
/// When a value is bad.
pub fn org_filter(query: &mut Query, sight: OrgSight) -> Result<OrgFilter, QueryError> {
    let status = query.filter("status", str::parse::<OrgStatus>)?;
    let slug = query.filter("slug", |text| Slug::new(text))?;
    let external_id = query.filter("external_id", |text| Name::new(text))?;
    let sight = match sight {
        OrgSight::All => query
            .filter("partner_id", str::parse::<PartnerId>)?
            .map_or(OrgSight::All, OrgSight::Partner),
        narrower @ (OrgSight::Partner(_) | OrgSight::MadeBy(..) | OrgSight::One(..)) => narrower,
    };
    let mut wanted = query.many("label");
    wanted.sort_unstable();
    wanted.dedup();
    for text in &wanted {
        query.bind("label", text);
    }
    let pairs = wanted
        .into_iter()
        .map(|text| {
            text.split_once(':')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or(text)
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(|_| QueryError::Bad("label: must be key:value, such as run_id:123".to_owned()))?;
    if let Err(error) = Labels::new(pairs.iter().cloned()) {
        return Err(QueryError::Bad(format!("label: {error}")));
    }
    Ok(OrgFilter {
        sight,
        status,
        slug,
        external_id,
        labels: pairs,
    })
}

/// Reads the request for a workspace.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn workspace_draft(body: &[u8]) -> Result<WorkspaceDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.required("name", parsed(Name::new));
    let slug = fields.optional("slug", parsed(Slug::new));
    fields
        .build(|| Some(WorkspaceDraft { name: name?, slug }))
        .map_err(BodyError::Invalid)
}

/// Reads a new billing state: `{"subscription": {…}, "plan": …}`, or the subscription's members and
/// `plan` side by side.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn billing_draft(body: &[u8]) -> Result<BillingDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let plan = fields.optional("plan", parsed(PlanName::new));
    let draft = if fields.has("subscription") {
        let draft = fields.required(
            "subscription",
            object(|mut inner| {
                let draft = subscription(&mut inner);
                inner.build(|| draft)
            }),
        );
        fields.build(|| draft)
    } else {
        let draft = subscription(&mut fields);
        fields.build(|| draft)
    };
    draft
        .map(|draft| BillingDraft { plan, ..draft })
        .map_err(BodyError::Invalid)
}

fn subscription(fields: &mut Fields) -> Option<BillingDraft> {
    let status = fields.required("status", parsed(|text| text.parse::<SubscriptionStatus>()));
    let current_period_start = fields.optional("current_period_start", time);
    let current_period_end = fields.optional("current_period_end", time);
    let cancel_at = fields.optional("cancel_at", time);
    Some(BillingDraft {
        status: status?,
        current_period_start,
        current_period_end,
        cancel_at,
        plan: None,
    })
}

fn time(value: Value) -> Result<OffsetDateTime, Vec<FieldError>> {
    parsed(|text| parse_time(&text))(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers<T>(read: Result<T, BodyError>) -> Vec<String> {
        match read {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(text)) => panic!("{text}"),
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        }
    }

    #[track_caller]
    fn org(body: &str, expect: &[&str]) {
        assert_eq!(pointers(org_draft(body.as_bytes())), expect, "{body}");
    }

    #[track_caller]
    fn workspace(body: &str, expect: &[&str]) {
        assert_eq!(pointers(workspace_draft(body.as_bytes())), expect, "{body}");
    }

    #[track_caller]
    fn billing(body: &str, expect: &[&str]) {
        assert_eq!(pointers(billing_draft(body.as_bytes())), expect, "{body}");
    }

    #[test]
    fn what_is_wrong_with_an_org_is_told_at_its_place() {
        org(
            r#"{"name": "acme-corp", "slug": "acme-corp", "plan": "standard"}"#,
            &[],
        );
        org(
            r#"{"name": "a", "slug": "Acme", "plan": 1}"#,
            &["/slug", "/plan"],
        );
        org(
            r#"{"name": "a", "slug": "acme", "plan": "free", "ttl_seconds": 60}"#,
            &["/ttl_seconds"],
        );
        org(
            r#"{"name": "a", "slug": "acme", "plan": "free", "status": "ready"}"#,
            &["/status"],
        );
    }

    #[test]
    fn what_is_wrong_with_a_workspace_is_told_at_its_place() {
        workspace(r#"{"name": "QA"}"#, &[]);
        workspace(r#"{"name": "日本", "slug": "nihon"}"#, &[]);
        workspace(r#"{"name": "ok name", "slug": "NO"}"#, &["/slug"]);
        workspace(r#"{"slug": "qa-2"}"#, &["/name"]);
    }

    #[test]
    fn a_subscription_is_taken_in_both_forms() {
        let expect = billing_draft(br#"{"subscription": {"status": "past_due"}, "plan": "free"}"#);
        assert_eq!(
            billing_draft(br#"{"status": "past_due", "plan": "free"}"#),
            expect
        );
        billing(
            r#"{"subscription": {"status": "gone", "x": 1}}"#,
            &["/subscription/status", "/subscription/x"],
        );
        billing("{}", &["/status"]);
    }

    #[test]
    fn labels_are_asked_for_as_key_and_value() {
        let ask = |label: &str| {
            let mut query = Query::new([("label".to_owned(), label.to_owned())]);
            org_filter(&mut query, OrgSight::All).map(|filter| filter.labels)
        };
        assert_eq!(ask("run_id:1:2"), Ok(vec![("run_id".into(), "1:2".into())]));
        assert!(ask("run_id").is_err());
        assert!(ask("RUN:1").is_err());
    }
}
