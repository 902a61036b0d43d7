//! The store traits for orgs that are to be deleted: by label, by their lease or by their key.

use ids::{KeyId, OrgId, PartnerId};
use time::OffsetDateTime;

use super::DueLimits;
use crate::{Org, OrgVisibility};

/// Which orgs to delete, of those that are not deleted or being deleted.
#[derive(Clone, Debug)]
pub enum DeletionSelector {
    /// Those of this visibility that have all of these labels, each a key and its value.
    Labelled(OrgVisibility, Vec<(String, String)>),
    /// Those whose lease has run out by this time.
    Expired(OffsetDateTime),
    /// Those of these orgs whose lease has run out by this time.
    ExpiredAmong(OffsetDateTime, Vec<OrgId>),
    /// Those that this key created, but for those that are protected from deletion.
    MadeBy(KeyId),
}

/// What one search for orgs whose lease has run out has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiredOrgs {
    /// The orgs, those of one partner in the order in which their leases ran out.
    pub orgs: Vec<OrgId>,
    /// The partner behind which the next search goes on; none when this one came to the end.
    pub after: Option<PartnerId>,
}

/// Queries for orgs that are to be deleted.
pub trait OrgDeletionQueries {
    /// The store's error.
    type Error;

    /// Up to `limit` of the orgs to delete; the newest first where they are selected by label.
    fn orgs_to_delete(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, Self::Error>;

    /// Orgs that are not going or gone and whose lease has run out by `now`, of the first partners behind
    /// `after` that have leased any. Up to `limits.orgs` are shared among those partners, one of each at
    /// the least. The work is bounded by the limits, and not by the number of orgs.
    fn expired_orgs(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<ExpiredOrgs, Self::Error>;
}

/// Writes to orgs that are to be deleted; all within the caller's transaction.
pub trait OrgDeletionStore: OrgDeletionQueries {
    /// The same as [`OrgDeletionQueries::orgs_to_delete`], each locked against other writers until the transaction
    /// ends.
    fn orgs_to_delete_for_update(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, Self::Error>;

    /// Begins to deprovision orgs that are locked: does with all of them at once what
    /// [`Transition::Delete`](crate::Transition::Delete) does, adds the step of deprovisioning, and makes them due at `at`.
    fn orgs_begin_deprovision(
        &mut self,
        ids: &[OrgId],
        at: OffsetDateTime,
    ) -> Result<(), Self::Error>;
}
