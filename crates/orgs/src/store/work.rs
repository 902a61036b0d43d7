//! The store traits for the work on orgs: which are due, who has leased them, and how far they are.

use ids::{OrgId, PartnerId, Ulid};
use time::OffsetDateTime;

use crate::{Org, OrgStatus, Step};

/// What proves that a worker holds the lease of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Ulid);

/// A worker's lease of orgs: while it lasts, no other worker works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What proves it.
    pub token: LeaseToken,
    /// When it ends unless it is renewed.
    pub until: OffsetDateTime,
}

/// An org and the steps of its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgWork {
    /// The org.
    pub org: Org,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
}

/// The progress of a worker on an org that it has leased.
#[derive(Clone, Debug)]
pub struct OrgProgress {
    /// The org and its steps as they are now.
    pub work: OrgWork,
    /// When it is due next.
    pub due_at: Option<OffsetDateTime>,
    /// Whether the worker's lease ends with this.
    pub release: bool,
    /// Whether the org's subscription is canceled with this.
    pub cancel: bool,
}

/// An org that is due and that nobody has leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrg {
    /// The org.
    pub id: OrgId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// Provisioning, updating or deprovisioning.
    pub status: OrgStatus,
    /// Since when it is due.
    pub due_at: OffsetDateTime,
}

/// How far a search for due orgs goes, for each status.
#[derive(Clone, Copy, Debug)]
pub struct DueLimits {
    /// How many partners it sees.
    pub partners: usize,
    /// How many orgs it gives: they are shared among the partners that it sees, one of each at the
    /// least.
    pub orgs: usize,
}

/// The result of one search for due orgs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueOrgs {
    /// The orgs, those of one partner and status the longest due first.
    pub orgs: Vec<DueOrg>,
    /// The partner behind which the next search goes on; none when this one came to the end.
    pub after: Option<PartnerId>,
    /// Whether a partner may have more orgs due than it gave.
    pub more: bool,
}

/// Orgs that wait for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgBacklog {
    /// How many orgs are due and not leased, counted up to the limit that was asked for.
    pub due: u64,
    /// Since when the first of them is due.
    pub oldest: Option<OffsetDateTime>,
}

/// Queries for the work on orgs.
pub trait OrgWorkQueries {
    /// The store's error.
    type Error;

    /// The steps of an org in their order.
    fn org_steps(&mut self, id: OrgId) -> Result<Vec<Step>, Self::Error>;

    /// When the next org falls due that nobody has leased at `now`, `None` when there is none.
    fn next_org_due(&mut self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// Orgs that are due at `now` and that nobody has leased then, of the first partners behind
    /// `after` that have any. The work is bounded by the limits, and not by the number of orgs.
    fn orgs_due(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<DueOrgs, Self::Error>;

    /// The orgs that are due at `now` and that nobody has leased then; up to `limit` are counted.
    fn org_backlog(&mut self, now: OffsetDateTime, limit: usize)
    -> Result<OrgBacklog, Self::Error>;
}

/// Writes of the work on orgs; all within the caller's transaction.
pub trait OrgWorkStore: OrgWorkQueries {
    /// Writes all steps of an org, in place of those there are.
    fn steps_replace(&mut self, org: OrgId, steps: &[Step]) -> Result<(), Self::Error>;

    /// Leases those of these orgs that are due at `now` and that nobody has leased, in the order
    /// of the ids. One that another transaction is about to lease is left out.
    ///
    /// `begin` notes at each org that its work begins. What it changes is written together with the
    /// lease: a row is updated once in a transaction.
    fn orgs_lease(
        &mut self,
        ids: &[OrgId],
        now: OffsetDateTime,
        lease: Lease,
        begin: impl Fn(&mut OrgProgress),
    ) -> Result<Vec<OrgWork>, Self::Error>;

    /// Renews the token's lease of an org, if it still has it.
    fn lease_renew(&mut self, id: OrgId, lease: Lease) -> Result<(), Self::Error>;

    /// One org if the token still holds its lease, locked against other writers until the transaction ends.
    /// A worker's write begins with this.
    fn org_leased(&mut self, id: OrgId, token: LeaseToken) -> Result<Option<Org>, Self::Error>;

    /// The same for many, with their steps and in the order of the query.
    fn orgs_leased(
        &mut self,
        held: &[(OrgId, LeaseToken)],
    ) -> Result<Vec<Option<OrgWork>>, Self::Error>;

    /// Writes the progress of a worker on orgs that it has found under its leases: what
    /// [`OrgStore::org_update`](crate::OrgStore::org_update) writes, and the steps.
    fn orgs_progress(&mut self, progress: &[OrgProgress]) -> Result<(), Self::Error>;

    /// Makes up to `limit` orgs due at `at` that would be due after `later_than`, and has as many leases
    /// end then; how many of both. On PostgreSQL those that another transaction is about to change
    /// are left out.
    fn orgs_make_due(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;

    /// Ends the token's lease of an org.
    fn lease_release(&mut self, id: OrgId, token: LeaseToken) -> Result<(), Self::Error>;
}
