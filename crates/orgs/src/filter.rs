//! Which orgs a list has: what its caller asks for, within what the caller may see.

use ids::{Name, PartnerId};

use crate::{Org, OrgStatus, OrgVisibility, Slug};

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
    }
}
