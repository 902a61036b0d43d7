//! Orgs, workspaces and billing as they are asked for.

mod views;

use ids::{Labels, MAX_LABELS, Name, PartnerId, PlanName};
use orgs::{
    BillingDraft, OrgDraft, OrgListRequest, OrgStatus, OrgsDeletion, Slug, SubscriptionStatus, Ttl,
    WorkspaceDraft,
};
use serde_json::Value;
use time::OffsetDateTime;

pub use self::views::{BillingView, DeletedOrgsView, OrgView, StatusView, WorkspaceView};
use crate::{
    BodyError, FieldError, Fields, Query, QueryError,
    fields::{object, parsed, whole},
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
    let ttl = fields.optional("ttl_seconds", ttl);
    fields
        .build(|| {
            Some(OrgDraft {
                name: name?,
                slug: slug?,
                plan: plan?,
                external_id,
                labels,
                ttl,
            })
        })
        .map_err(BodyError::Invalid)
}

/// Reads for how long to renew an org's lease.
///
/// # Errors
/// When it is not JSON, or the value is missing or wrong.
pub fn renewal(body: &[u8]) -> Result<Ttl, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let ttl = fields.required("ttl_seconds", ttl);
    fields.build(|| ttl).map_err(BodyError::Invalid)
}

fn ttl(value: Value) -> Result<Ttl, Vec<FieldError>> {
    let (min, max) = (Ttl::MIN_SECONDS.into(), Ttl::MAX_SECONDS.into());
    Ttl::from_seconds(whole(min, max)(value)?).map_err(FieldError::here)
}

/// Reads which orgs to list. Only an admin key's query has `partner_id`.
///
/// # Errors
/// When a value is bad.
pub fn org_list_request(query: &mut Query, by_admin: bool) -> Result<OrgListRequest, QueryError> {
    let status = query.filter("status", str::parse::<OrgStatus>)?;
    let slug = query.filter("slug", |text| Slug::new(text))?;
    let external_id = query.filter("external_id", |text| Name::new(text))?;
    let partner_id = if by_admin {
        query.filter("partner_id", str::parse::<PartnerId>)?
    } else {
        None
    };
    Ok(OrgListRequest {
        partner_id,
        status,
        slug,
        external_id,
        labels: wanted_labels(query)?,
    })
}

/// Reads which orgs to delete: their labels, and whether only to tell which they are.
///
/// # Errors
/// When there is no label, a value is bad, or a parameter is left that nobody asked for.
pub fn orgs_deletion(mut query: Query) -> Result<OrgsDeletion, QueryError> {
    let labels = wanted_labels(&mut query)?;
    let dry_run = query.single("dry_run", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    })?;
    query.finish()?;
    if labels.is_empty() {
        return Err(QueryError::Bad(
            "name the orgs by label=key:value; without it none are deleted".to_owned(),
        ));
    }
    if let Some((key, _)) = labels.iter().find(|(_, value)| value.is_empty()) {
        return Err(QueryError::Bad(format!(
            "label: the value of {key} is empty; check that the variable it comes from is set"
        )));
    }
    Ok(OrgsDeletion {
        labels,
        dry_run: dry_run.unwrap_or(false),
    })
}

/// The labels that are asked for, each a key and its value.
fn wanted_labels(query: &mut Query) -> Result<Vec<(String, String)>, QueryError> {
    let mut wanted = query.many("label");
    // Counted as they were sent: several of one key count too, though no org has them all.
    if wanted.len() > MAX_LABELS {
        return Err(QueryError::Bad(format!(
            "label: can be given {MAX_LABELS} times at most"
        )));
    }
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
    Ok(pairs)
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

/// A new billing state as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingRequest {
    /// What is asked for.
    pub draft: BillingDraft,
    /// Where the subscription's members stand in the body, as a JSON pointer.
    pub at: &'static str,
}

/// Reads a new billing state: `{"subscription": {…}, "plan": …}`, or the subscription's members and
/// `plan` side by side.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn billing_request(body: &[u8]) -> Result<BillingRequest, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let plan = fields.optional("plan", parsed(PlanName::new));
    let wrapped = fields.has("subscription");
    let draft = if wrapped {
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
        .map(|draft| BillingRequest {
            draft: BillingDraft { plan, ..draft },
            at: if wrapped { "/subscription" } else { "" },
        })
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
        assert_eq!(pointers(billing_request(body.as_bytes())), expect, "{body}");
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
            r#"{"name": "a", "slug": "acme", "plan": "free", "ttl_seconds": 59}"#,
            &["/ttl_seconds"],
        );
        org(
            r#"{"name": "a", "slug": "acme", "plan": "free", "status": "ready"}"#,
            &["/status"],
        );
    }

    #[test]
    fn a_lease_is_read_in_seconds() {
        let with = |ttl: &str| {
            let body =
                format!(r#"{{"name": "a", "slug": "acme", "plan": "free", "ttl_seconds": {ttl}}}"#);
            org_draft(body.as_bytes()).map(|draft| draft.ttl.map(Ttl::seconds))
        };
        assert_eq!(with("60"), Ok(Some(60)));
        assert_eq!(with("2592000"), Ok(Some(2_592_000)));
        assert_eq!(with("null"), Ok(None));
        for ttl in ["59", "2592001", "60.5", "-60", "\"60\"", "1e9"] {
            assert_eq!(pointers(with(ttl)), ["/ttl_seconds"], "{ttl}");
        }
        let renew = |body: &str| renewal(body.as_bytes());
        assert_eq!(
            renew(r#"{"ttl_seconds": 3600}"#).map(Ttl::seconds),
            Ok(3600)
        );
        for body in ["{}", r#"{"ttl_seconds": null}"#] {
            assert_eq!(pointers(renew(body)), ["/ttl_seconds"], "{body}");
        }
    }

    #[test]
    fn orgs_are_deleted_by_label_and_by_nothing_else() {
        let ask = |query: &[(&str, &str)]| {
            let pairs = query
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let asked = orgs_deletion(Query::new(pairs)).ok()?;
            Some((asked.labels, asked.dry_run))
        };
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            ask(&[("label", "b:1"), ("label", "a:2"), ("label", "b:1")]),
            Some((vec![label("a", "2"), label("b", "1")], false))
        );
        for (text, expect) in [("true", true), ("false", false)] {
            assert_eq!(
                ask(&[("label", "a:b"), ("dry_run", text)]),
                Some((vec![label("a", "b")], expect))
            );
        }
        let refused: [&[(&str, &str)]; 10] = [
            &[],
            &[("dry_run", "true")],
            &[("label", "")],
            &[("label", "a:")],
            &[("label", "a:b"), ("label", "c:")],
            &[("label", "a")],
            &[("label", "A:b")],
            &[("label", "a:b"), ("dry_run", "1")],
            &[("label", "a:b"), ("dry_run", "true"), ("dry_run", "true")],
            &[("label", "a:b"), ("status", "ready")],
        ];
        for query in refused {
            assert_eq!(ask(query), None, "{query:?}");
        }
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
        let wrapped = br#"{"subscription": {"status": "past_due"}, "plan": "free"}"#;
        let flat = br#"{"status": "past_due", "plan": "free"}"#;
        let wrapped = billing_request(wrapped).unwrap();
        let flat = billing_request(flat).unwrap();
        assert_eq!(wrapped.draft, flat.draft);
        assert_eq!((wrapped.at, flat.at), ("/subscription", ""));
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
            org_list_request(&mut query, true).map(|filter| filter.labels)
        };
        assert_eq!(ask("run_id:1:2"), Ok(vec![("run_id".into(), "1:2".into())]));
        assert!(ask("run_id").is_err());
        assert!(ask("RUN:1").is_err());
    }

    #[test]
    fn labels_are_counted_as_they_were_asked_for() {
        let kinds: [fn(usize) -> String; 3] = [
            |n| format!("l{n}:1"),
            |n| format!("l:{n}"),
            |_| "l:1".to_owned(),
        ];
        for label in kinds {
            let asked = |count: usize| {
                let labels = (0..count).map(|n| ("label".to_owned(), label(n)));
                let mut query = Query::new(labels.clone());
                let listed = org_list_request(&mut query, true).is_ok();
                assert_eq!(orgs_deletion(Query::new(labels)).is_ok(), listed);
                listed
            };
            assert!(asked(16), "{}", label(0));
            assert!(!asked(17), "{}", label(0));
        }
    }
}
