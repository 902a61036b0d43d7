//! The store traits for orgs.

use ids::{KeyId, OrgId, Page, PageRequest, PartnerId, PlanName};
use time::{Duration, OffsetDateTime};

use super::Lease;
use crate::{Org, OrgFilter, OrgStatus, OrgVisibility, Step, Subscription};

/// An org to insert; its slug has been acquired.
#[derive(Clone, Debug)]
pub struct NewOrg {
    /// The org.
    pub org: Org,
    /// The steps of its provisioning.
    pub steps: Vec<Step>,
    /// Its subscription.
    pub subscription: Option<Subscription>,
    /// The lease of the worker that provisions it. Without one it is for the first worker that finds it.
    pub lease: Option<Lease>,
}

/// An org's status, and when it last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusSummary {
    /// The org.
    pub id: OrgId,
    /// Its status.
    pub status: OrgStatus,
    /// When it was last changed; while nothing is pending, its steps change with it.
    pub updated_at: OffsetDateTime,
}

/// Queries of a store of orgs.
pub trait OrgQueries {
    /// The store's error.
    type Error;

    /// One org, if it is visible; deleted ones too.
    fn org(&mut self, visibility: OrgVisibility, id: OrgId) -> Result<Option<Org>, Self::Error>;

    /// Orgs, newest first.
    fn orgs(&mut self, filter: &OrgFilter, page: PageRequest) -> Result<Page<Org>, Self::Error>;

    /// How many orgs each partner has that are not deleted, in the order of the partners.
    fn live_org_counts(&mut self, partners: &[PartnerId]) -> Result<Vec<u64>, Self::Error>;

    /// How many orgs of each key are not deleted, in the order of the keys.
    fn live_org_counts_of_keys(&mut self, keys: &[KeyId]) -> Result<Vec<u64>, Self::Error>;

    /// The statuses of orgs, in no order; orgs that don't exist are left out.
    fn org_status_summaries(&mut self, ids: &[OrgId]) -> Result<Vec<StatusSummary>, Self::Error>;

    /// How long it took until the last orgs of this plan were ready for the first time, the latest
    /// first.
    fn provisioning_times(
        &mut self,
        plan: &PlanName,
        limit: usize,
    ) -> Result<Vec<Duration>, Self::Error>;
}

/// Writes of a store of orgs; all within the caller's transaction.
pub trait OrgStore: OrgQueries {
    /// Adds orgs, due at once for the reconciler.
    fn orgs_insert(&mut self, orgs: &[NewOrg]) -> Result<(), Self::Error>;

    /// Adds an org whose slug has been acquired, due at once for the reconciler.
    fn org_insert(&mut self, org: &Org, steps: &[Step]) -> Result<(), Self::Error> {
        self.orgs_insert(&[NewOrg {
            org: org.clone(),
            steps: steps.to_vec(),
            subscription: None,
            lease: None,
        }])
    }

    /// One org if it is visible, locked against other writers until the transaction ends.
    fn org_for_update(
        &mut self,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Option<Org>, Self::Error>;

    /// Writes the name, plan, options, change, status, times, failure and attempts, and when it is due next for
    /// the reconciler. A lease stays as it is.
    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), Self::Error>;

    /// Writes the same, and the external id, the labels and the protection from deletion. With `work`, its steps are replaced and it is due at
    /// that time; without, both stay as they are.
    fn org_edit(
        &mut self,
        org: &Org,
        work: Option<(&[Step], OffsetDateTime)>,
    ) -> Result<(), Self::Error>;

    /// Sets when an org's lease ends, and nothing else.
    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), Self::Error>;
}
