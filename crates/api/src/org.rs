//! Orgs.

pub(crate) mod deletion;
pub(crate) mod filter;
pub(crate) mod secrets;
pub(crate) mod status;

use std::collections::BTreeMap;

use api_macros::{Request, Response};
use ids::{Change, KeyId, Labels, Name, OrgId, PartnerId, PlanName};
use orgs::{Failure, Org, OrgChanges, OrgDraft, OrgOptions, OrgStatus, Slug, Ttl};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::{
    deletion::{DeletedOrgsView, DeletionQuery},
    filter::OrgFilters,
    secrets::SecretsView,
    status::StatusView,
};
use crate::{
    Time,
    wire::{AnyObject, EntryName, LabelPatch, NotNull, OptionsPatch, StringMap, Url},
};

/// Why the last attempt to create, change or delete an org failed.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Failure")]
pub struct FailureView {
    /// A short code for what failed.
    code: String,
    /// What the provisioner reported.
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

/// An org: a customer's own space on the platform.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Org")]
pub struct OrgView {
    /// The id of the org.
    id: OrgId,
    /// The name of the org.
    #[api(example = "acme-corp")]
    name: Name,
    /// The part of the URL that names the org: 3 to 32 lower-case letters, digits and single hyphens.
    #[api(as = Slug)]
    slug: String,
    /// The plan of the org, one of those that the operator offers.
    plan: PlanName,
    /// What the plan of the org can be given: any object, of up to 16 KiB of JSON.
    #[api(as = AnyObject, example = {"size": 3})]
    options: Map<String, Value>,
    /// The status of the org.
    #[api(as = OrgStatus, example = "ready")]
    status: &'static str,
    /// The partner that the org belongs to.
    partner_id: PartnerId,
    /// The partner key that created the org.
    created_by_key_id: KeyId,
    /// Your own identifier for the org.
    external_id: Option<Name>,
    /// Up to 16 labels of your choice.
    #[api(example = {"run_id": "123"})]
    labels: Labels,
    /// Whether deleting the org is refused. An org with a lease can't be protected.
    delete_protection: bool,
    /// The page at which the customer logs in.
    #[api(as = Url)]
    login_url: String,
    /// The time at which the org was requested.
    created_at: Time,
    /// The time at which the org was first ready.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    ready_at: Option<Time>,
    /// The time at which the org is deleted unless its lease is renewed; `null` without a lease.
    expires_at: Option<Time>,
    /// The time at which the deletion was complete.
    deleted_at: Option<Time>,
    /// Why the last attempt to create, change or delete the org failed; `null` if it did not.
    failure: Option<FailureView>,
    /// What the provisioner of the org has handed back, such as addresses; empty until the org is ready.
    #[api(as = StringMap, example = {"host": "db.example.com"})]
    outputs: BTreeMap<String, String>,
    /// The names of the secrets that the org has.
    #[api(as = Vec<EntryName>)]
    secret_names: Vec<String>,
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
            options: org.options.into_map(),
            status: org.status.as_str(),
            partner_id: org.partner_id,
            created_by_key_id: org.created_by_key_id,
            external_id: org.external_id,
            labels: org.labels,
            delete_protection: org.delete_protection,
            created_at: Time(org.created_at),
            ready_at: org.ready_at.map(Time),
            expires_at: org.expires_at.map(Time),
            deleted_at: org.deleted_at.map(Time),
            failure: org.failure.map(FailureView::from),
            outputs: org.outputs,
            secret_names: org.secret_names,
        }
    }
}

/// Where an org's customer logs in. A slug needs no escaping.
fn org_login_url(base: &str, slug: &Slug) -> String {
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}org={slug}")
}

/// An org to create.
#[derive(Request)]
#[api(like = OrgView)]
pub struct NewOrg {
    #[api(example = "acme-corp")]
    name: Name,
    slug: Slug,
    plan: PlanName,
    /// What the plan of the org is to be given, an object of up to 16 KiB of JSON. If the plan has an
    /// `options_schema`, they must satisfy it.
    #[api(example = {"size": 3})]
    options: Option<OrgOptions>,
    external_id: Option<Name>,
    #[api(example = {"run_id": "123"})]
    labels: Option<Labels>,
    delete_protection: Option<bool>,
    /// The lease of the org: the seconds from now after which it is deleted, unless the lease is renewed.
    /// Without it, the org has no lease.
    #[api(example = 3600)]
    ttl_seconds: Option<Ttl>,
}

impl From<NewOrg> for OrgDraft {
    fn from(asked: NewOrg) -> Self {
        Self {
            name: asked.name,
            slug: asked.slug,
            plan: asked.plan,
            options: asked.options.unwrap_or_default(),
            external_id: asked.external_id,
            labels: asked.labels.unwrap_or_default(),
            delete_protection: asked.delete_protection.unwrap_or_default(),
            ttl: asked.ttl_seconds,
        }
    }
}

/// Changes to an org, as a merge patch (RFC 7396): a field that is left out stays as it is, `null` restores the
/// default.
#[derive(Request)]
#[api(like = OrgView)]
pub struct OrgPatch {
    #[api(example = "acme-corp")]
    name: NotNull<Name>,
    external_id: Change<Name>,
    /// Changes to the labels: a value sets a label, `null` removes it.
    labels: Change<LabelPatch>,
    #[api(example = false)]
    delete_protection: Change<bool>,
    /// The new plan of the org, which it has once the work is done.
    plan: NotNull<PlanName>,
    /// Changes to the options, which it has once the work is done: a merge patch itself. The result must satisfy
    /// the `options_schema` of the plan.
    #[api(example = {"size": 5})]
    options: Change<OptionsPatch>,
}

impl From<OrgPatch> for OrgChanges {
    fn from(asked: OrgPatch) -> Self {
        Self {
            name: asked.name.0,
            external_id: asked.external_id,
            labels: asked.labels.map(|labels| labels.0),
            delete_protection: asked.delete_protection,
            plan: asked.plan.0,
            options: asked.options.map(|options| options.0),
        }
    }
}

/// A longer lease for an org.
#[derive(Request)]
pub struct Renewal {
    /// The seconds from now after which the org is deleted, unless the lease is renewed again.
    pub ttl_seconds: Ttl,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{pointers, read};

    #[track_caller]
    fn org(body: &str, expect: &[&str]) {
        assert_eq!(pointers(read::<NewOrg>(body)), expect, "{body}");
    }

    #[test]
    fn errors_in_an_org_point_to_the_field() {
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
            read::<NewOrg>(&body).map(|org| org.ttl_seconds.map(Ttl::seconds))
        };
        assert_eq!(with("60"), Ok(Some(60)));
        assert_eq!(with("2592000"), Ok(Some(2_592_000)));
        assert_eq!(with("null"), Ok(None));
        for ttl in ["59", "2592001", "60.5", "-60", "\"60\"", "1e9"] {
            assert_eq!(pointers(with(ttl)), ["/ttl_seconds"], "{ttl}");
        }
        let renew = |body: &str| read::<Renewal>(body).map(|renewal| renewal.ttl_seconds);
        assert_eq!(
            renew(r#"{"ttl_seconds": 3600}"#).map(Ttl::seconds),
            Ok(3600)
        );
        for body in ["{}", r#"{"ttl_seconds": null}"#] {
            assert_eq!(pointers(renew(body)), ["/ttl_seconds"], "{body}");
        }
    }
}
