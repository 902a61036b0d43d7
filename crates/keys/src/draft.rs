//! What is asked for: new keys and partners, and changes to them.

use ids::{Change, InvalidLabels, LabelChanges, Labels, Name, OrgId, PartnerId, PlanName};
use ratelimit::RateLimit;
use scopes::ScopeSet;
use time::OffsetDateTime;

use crate::{Networks, OnLeak, OnRevoke, Partner, PartnerKey, PartnerPlan};

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDraft {
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub scopes: ScopeSet,
    /// The one org it acts within.
    pub org_id: Option<OrgId>,
    /// Whose it is; without it, and without an org, it gets a partner of its own.
    pub partner_id: Option<PartnerId>,
    /// The plans of the orgs it may create.
    pub org_plans: Option<Vec<PlanName>>,
    /// The networks from which it may be used.
    pub allowed_cidrs: Option<Networks>,
    /// How often it may be used.
    pub rate_limit: Option<RateLimit>,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// Whether the end was asked for as a number of days.
    pub expires_in_days: bool,
    /// How many orgs of its making there may be at once.
    pub max_live_orgs: Option<u64>,
    /// How many seconds the lease of each org of its making lasts at the most.
    pub max_ttl_seconds: Option<u32>,
    /// What becomes of the orgs of its making when it is revoked.
    pub on_revoke: OnRevoke,
    /// What becomes of it when its secret is reported as leaked.
    pub on_leak: OnLeak,
    /// Labels.
    pub labels: Labels,
}

/// A change to a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChanges {
    /// Its name.
    pub name: Option<Name>,
    /// What it may do.
    pub scopes: Option<ScopeSet>,
    /// The plans of the orgs it may create.
    pub org_plans: Change<Vec<PlanName>>,
    /// The networks from which it may be used.
    pub allowed_cidrs: Change<Networks>,
    /// How often it may be used.
    pub rate_limit: Change<RateLimit>,
    /// When it ends by itself.
    pub expires_at: Change<OffsetDateTime>,
    /// How many orgs of its making there may be at once.
    pub max_live_orgs: Change<u64>,
    /// How many seconds the lease of each org of its making lasts at the most.
    pub max_ttl_seconds: Change<u32>,
    /// What becomes of the orgs of its making when it is revoked.
    pub on_revoke: Change<OnRevoke>,
    /// What becomes of it when its secret is reported as leaked.
    pub on_leak: Change<OnLeak>,
    /// Whether it is switched off.
    pub disabled: Change<bool>,
    /// Labels.
    pub labels: Change<LabelChanges>,
}

impl PartnerKey {
    /// Applies a change that has been checked by itself.
    ///
    /// # Errors
    /// When the labels after the change are too many; the key is then half changed and to be dropped.
    pub fn apply(&mut self, changes: KeyChanges) -> Result<(), InvalidLabels> {
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(scopes) = changes.scopes {
            self.scopes = scopes;
        }
        changes.org_plans.apply(&mut self.org_plans);
        changes.allowed_cidrs.apply(&mut self.allowed_cidrs);
        changes.rate_limit.apply(&mut self.rate_limit);
        changes.expires_at.apply(&mut self.expires_at);
        changes.max_live_orgs.apply(&mut self.max_live_orgs);
        changes.max_ttl_seconds.apply(&mut self.max_ttl_seconds);
        changes.on_revoke.apply_or_default(&mut self.on_revoke);
        changes.on_leak.apply_or_default(&mut self.on_leak);
        changes.disabled.apply_or_default(&mut self.disabled);
        changes.labels.apply_to_labels(&mut self.labels)
    }
}

/// A partner that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerDraft {
    /// Its name.
    pub name: Name,
    /// What it has bought.
    pub plan: PartnerPlan,
    /// A budget shared by all of its keys.
    pub rate_limit: Option<RateLimit>,
    /// How many orgs it may have.
    pub max_orgs: Option<u64>,
    /// Labels.
    pub labels: Labels,
}

impl PartnerDraft {
    /// The plan of a partner of whom nothing else is said.
    pub const DEFAULT_PLAN: PartnerPlan = PartnerPlan::Partner;

    /// The partner that a key gets for its own when nobody is named.
    #[must_use]
    pub fn for_one_key(name: Name) -> Self {
        Self {
            name,
            plan: Self::DEFAULT_PLAN,
            rate_limit: None,
            max_orgs: None,
            labels: Labels::default(),
        }
    }

    /// The partner, made now.
    #[must_use]
    pub fn into_partner(self, id: PartnerId, now: OffsetDateTime) -> Partner {
        let Self {
            name,
            plan,
            rate_limit,
            max_orgs,
            labels,
        } = self;
        Partner {
            id,
            name,
            plan,
            rate_limit,
            max_orgs,
            labels,
            created_at: now,
        }
    }
}

/// A change to a partner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartnerChanges {
    /// Its name.
    pub name: Option<Name>,
    /// What it has bought.
    pub plan: Change<PartnerPlan>,
    /// A budget shared by all of its keys.
    pub rate_limit: Change<RateLimit>,
    /// How many orgs it may have.
    pub max_orgs: Change<u64>,
    /// Labels.
    pub labels: Change<LabelChanges>,
}

impl Partner {
    /// Applies a change that has been checked by itself.
    ///
    /// # Errors
    /// When the labels after the change are too many; the partner is then half changed and to be
    /// dropped.
    pub fn apply(&mut self, changes: PartnerChanges) -> Result<(), InvalidLabels> {
        if let Some(name) = changes.name {
            self.name = name;
        }
        match changes.plan {
            Change::Keep => {}
            Change::Clear => self.plan = PartnerDraft::DEFAULT_PLAN,
            Change::Set(plan) => self.plan = plan,
        }
        changes.rate_limit.apply(&mut self.rate_limit);
        changes.max_orgs.apply(&mut self.max_orgs);
        changes.labels.apply_to_labels(&mut self.labels)
    }
}
