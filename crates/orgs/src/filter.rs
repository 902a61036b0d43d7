//! Which orgs a list has: what its caller asks for, within what the caller may see.

use ids::{KeyId, Name, PartnerId, PlanName};
use time::OffsetDateTime;

use crate::{Org, OrgStatus, OrgVisibility, Slug};

/// What orgs must fulfil that no index finds by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgCriteria {
    /// They have this plan.
    pub plan: Option<PlanName>,
    /// This key created them.
    pub created_by: Option<KeyId>,
    /// They were created at this time or later.
    pub created_since: Option<OffsetDateTime>,
    /// They were created before this time.
    pub created_until: Option<OffsetDateTime>,
    /// They have a lease that ends before this time.
    pub expires_before: Option<OffsetDateTime>,
}

impl OrgCriteria {
    /// No criteria.
    pub const NONE: Self = Self {
        plan: None,
        created_by: None,
        created_since: None,
        created_until: None,
        expires_before: None,
    };

    fn fit(&self, org: &Org) -> bool {
        let ends_before = |end| org.expires_at.is_some_and(|at| at < end);
        self.plan.as_ref().is_none_or(|plan| org.plan == *plan)
            && self
                .created_by
                .is_none_or(|key| org.created_by_key_id == key)
            && self
                .created_since
                .is_none_or(|since| org.created_at >= since)
            && self
                .created_until
                .is_none_or(|until| org.created_at < until)
            && self.expires_before.is_none_or(ends_before)
    }
}

/// Which orgs a caller asks for. It says nothing of what the caller may see: that is for the use case to add.
#[derive(Clone, Debug, Default)]
pub struct OrgListRequest {
    /// Orgs of this partner.
    pub partner_id: Option<PartnerId>,
    /// Orgs of this status; without it, those that are not deleted.
    pub status: Option<OrgStatus>,
    /// The org with this slug.
    pub slug: Option<Slug>,
    /// Orgs that the partner knows by this name.
    pub external_id: Option<Name>,
    /// Orgs that have all of these labels, each a key and its value.
    pub labels: Vec<(String, String)>,
    /// What else they must fulfil.
    pub criteria: OrgCriteria,
}

impl OrgListRequest {
    /// The store's filter for a caller of this visibility; `None` when nothing can match, because the caller
    /// asks for a partner whose orgs it can't see.
    #[must_use]
    pub fn within(self, visibility: OrgVisibility) -> Option<OrgFilter> {
        let Self {
            partner_id,
            status,
            slug,
            external_id,
            labels,
            criteria,
        } = self;
        Some(OrgFilter {
            visibility: match partner_id {
                Some(partner) => visibility.narrowed_to(partner)?,
                None => visibility,
            },
            status,
            slug,
            external_id,
            labels,
            criteria,
        })
    }
}

/// Which orgs a store lists.
#[derive(Clone, Debug)]
pub struct OrgFilter {
    /// The caller's visibility.
    pub visibility: OrgVisibility,
    /// Those of this status; without it, those that are not deleted.
    pub status: Option<OrgStatus>,
    /// The one with this slug.
    pub slug: Option<Slug>,
    /// Those that the partner knows by this name.
    pub external_id: Option<Name>,
    /// Those that have all of these labels, each a key and its value.
    pub labels: Vec<(String, String)>,
    /// What else they must fulfil.
    pub criteria: OrgCriteria,
}

impl OrgFilter {
    /// Whether the org is to be listed.
    #[must_use]
    pub fn includes(&self, org: &Org) -> bool {
        let has_status = match self.status {
            Some(status) => org.status == status,
            None => org.status != OrgStatus::Deleted,
        };
        let has_label = |(key, value): &(String, String)| org.labels.get(key) == Some(value);
        self.visibility.includes(org)
            && has_status
            && self.slug.as_ref().is_none_or(|slug| org.slug == *slug)
            && (self.external_id.is_none() || org.external_id == self.external_id)
            && self.labels.iter().all(has_label)
            && self.criteria.fit(org)
    }
}
