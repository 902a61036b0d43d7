//! The secrets of orgs, as a provisioner has handed them back: sealed, one row for each org.

use ids::OrgId;
use keys::PepperId;
use time::OffsetDateTime;

use crate::StoreError;

/// The stored secrets of an org.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedOrgSecrets {
    /// The org.
    pub org: OrgId,
    /// The secrets, sealed.
    pub sealed: Vec<u8>,
    /// The pepper that they are sealed under.
    pub pepper: PepperId,
    /// When a provisioner handed them back.
    pub updated_at: OffsetDateTime,
}

impl std::fmt::Debug for SealedOrgSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedOrgSecrets")
            .field("org", &self.org)
            .field("pepper", &self.pepper)
            .field("updated_at", &self.updated_at)
            .finish_non_exhaustive()
    }
}

/// Queries for the secrets of orgs.
pub trait OrgSecretQueries {
    /// The secrets of these orgs, in no order; those that have none are left out. Whether the caller may see the orgs
    /// is for the caller to check.
    fn org_secrets(&mut self, orgs: &[OrgId]) -> Result<Vec<SealedOrgSecrets>, StoreError>;

    /// Up to `limit` secrets that are sealed under this pepper, of the first orgs behind `after`, in the order
    /// of the orgs' ids.
    fn org_secrets_under(
        &mut self,
        pepper: PepperId,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<SealedOrgSecrets>, StoreError>;
}

/// Writes of the secrets of orgs; all within the caller's transaction.
pub trait OrgSecretStore: OrgSecretQueries {
    /// Stores secrets in place of those that the org has. A transaction that changes the secrets of several orgs
    /// does so in the order of their ids.
    fn org_secrets_put(&mut self, secrets: &SealedOrgSecrets) -> Result<(), StoreError>;

    /// Erases the secrets of an org.
    fn org_secrets_erase(&mut self, org: OrgId) -> Result<(), StoreError>;

    /// Replaces the sealed bytes of an org's secrets and their pepper, if the bytes still are `expected`;
    /// `false` when they are not.
    fn org_secrets_reseal(
        &mut self,
        expected: &[u8],
        new: &SealedOrgSecrets,
    ) -> Result<bool, StoreError>;
}
