//! What is asked for: new orgs and workspaces, and changes to them and to subscriptions.

use ids::{Change, InvalidLabels, LabelChanges, Labels, Name, PlanName, WorkspaceId};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{
    InvalidSlug, OptionsTooLong, Org, OrgConfig, OrgOptions, Slug, Subscription,
    SubscriptionStatus, Ttl,
};

/// An org that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgDraft {
    /// Its name.
    pub name: Name,
    /// Its slug.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanName,
    /// Its options.
    pub options: OrgOptions,
    /// The partner's own name for it.
    pub external_id: Option<Name>,
    /// Labels.
    pub labels: Labels,
    /// Whether deleting it is refused; not together with a lease.
    pub delete_protection: bool,
    /// How long it lives unless its lease is renewed; without it, until somebody deletes it.
    pub ttl: Option<Ttl>,
}

/// A change to an org.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgChanges {
    /// Its name.
    pub name: Option<Name>,
    /// The partner's own name for it.
    pub external_id: Change<Name>,
    /// Labels.
    pub labels: Change<LabelChanges>,
    /// Whether deleting it is refused.
    pub delete_protection: Change<bool>,
    /// Its plan, which its provisioner changes.
    pub plan: Option<PlanName>,
    /// A merge patch of its options, which its provisioner changes.
    pub options: Change<Map<String, Value>>,
}

impl OrgChanges {
    /// Whether it asks for something that the provisioner does.
    #[must_use]
    pub const fn is_for_provisioner(&self) -> bool {
        self.plan.is_some() || self.options.is_mentioned()
    }

    /// The plan and the options of the org after the change.
    ///
    /// # Errors
    /// When the options are too long then.
    pub fn config(&self, org: &Org) -> Result<OrgConfig, OptionsTooLong> {
        Ok(OrgConfig {
            plan: self.plan.as_ref().unwrap_or(&org.plan).clone(),
            options: match &self.options {
                Change::Keep => org.options.clone(),
                Change::Clear => OrgOptions::default(),
                Change::Set(patch) => org.options.patched(patch)?,
            },
        })
    }

    /// Applies what needs no provisioner.
    ///
    /// # Errors
    /// When the labels after the change are too many; the org is then half changed and to be dropped.
    pub fn edit(&self, org: &mut Org) -> Result<(), InvalidLabels> {
        if let Some(name) = &self.name {
            org.name.clone_from(name);
        }
        self.external_id.clone().apply(&mut org.external_id);
        let protection = &mut org.delete_protection;
        self.delete_protection.clone().apply_or_default(protection);
        self.labels.clone().apply_to_labels(&mut org.labels)
    }
}

/// Which orgs to delete together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgsDeletion {
    /// Those that have all of these labels, each a key and its value; there is at least one.
    pub labels: Vec<(String, String)>,
    /// Whether only to tell which they are.
    pub dry_run: bool,
}

/// A workspace that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceDraft {
    /// Its name.
    pub name: Name,
    /// Its slug; without it, one is derived from the name.
    pub slug: Option<Slug>,
}

impl WorkspaceDraft {
    /// The slug that was asked for, or the one that the name suggests; where it suggests none, as a
    /// name in another script, `ws-` and the end of the workspace's id.
    ///
    /// # Errors
    /// Never in practice: the end of an id always makes a slug.
    pub fn slug_for(&self, id: WorkspaceId) -> Result<Slug, InvalidSlug> {
        if let Some(slug) = &self.slug {
            return Ok(slug.clone());
        }
        Slug::from_name(self.name.as_str()).or_else(|_| {
            let id = id.to_string().to_lowercase();
            let end = id.len().saturating_sub(10);
            Slug::new(format!("ws-{}", id.get(end..).unwrap_or_default()))
        })
    }
}

/// A new state of an org's billing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingDraft {
    /// Whether the org is paid for.
    pub status: SubscriptionStatus,
    /// When the period begins; without it the present one stays.
    pub current_period_start: Option<OffsetDateTime>,
    /// When the period ends; without it the present one stays.
    pub current_period_end: Option<OffsetDateTime>,
    /// When the subscription will end.
    pub cancel_at: Option<OffsetDateTime>,
    /// The org's plan; without it the present one stays.
    pub plan: Option<PlanName>,
}

/// A period would end before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the period must end after it begins")]
pub struct EmptyPeriod {
    /// Whether its end was asked for; else its start alone was.
    end_given: bool,
}

impl EmptyPeriod {
    /// The member of the draft that is wrong, one that was asked for.
    #[must_use]
    pub const fn member(self) -> &'static str {
        if self.end_given {
            "current_period_end"
        } else {
            "current_period_start"
        }
    }
}

impl BillingDraft {
    /// The subscription after the change.
    ///
    /// # Errors
    /// When its period would not end after it begins.
    pub fn applied_to(&self, before: &Subscription) -> Result<Subscription, EmptyPeriod> {
        let after = Subscription {
            status: self.status,
            current_period_start: self
                .current_period_start
                .unwrap_or(before.current_period_start),
            current_period_end: self.current_period_end.unwrap_or(before.current_period_end),
            cancel_at: self.cancel_at,
        };
        if after.current_period_start < after.current_period_end {
            Ok(after)
        } else {
            Err(EmptyPeriod {
                end_given: self.current_period_end.is_some(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};

    use super::*;

    #[track_caller]
    fn check(name: &str, slug: Option<&str>, expect: &str) {
        let name = Name::new(name).unwrap();
        let draft = WorkspaceDraft {
            name,
            slug: slug.map(|text| Slug::new(text).unwrap()),
        };
        let id = WorkspaceId::from_ulid(Ulid::from(0xabc));
        assert_eq!(draft.slug_for(id).unwrap().as_str(), expect);
    }

    #[test]
    fn a_workspace_has_a_slug_whatever_its_name() {
        check("Quality", Some("qa-1"), "qa-1");
        check("QA 2", None, "qa-2");
        check("QA", None, "ws-00000002nw");
        check("日本", None, "ws-00000002nw");
    }
}
