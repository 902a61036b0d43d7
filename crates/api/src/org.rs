//! Orgs, workspaces and billing as they are asked for.

mod views;

use ids::{Labels, Name, PartnerId, PlanName};
use orgs::{
    BillingDraft, OrgDraft, OrgFilter, OrgSight, OrgStatus, Slug, SubscriptionStatus,
    WorkspaceDraft,
};
use serde_json::Value;
use time::OffsetDateTime;

pub use self::views::{BillingView, OrgView, StatusView, WorkspaceView};
use crate::{
    BodyError, FieldError, Fields, Query, QueryError,
    fields::{object, parsed},
    parse_time,
    partner::labels,
};

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
