//! The store trait for orgs.

use ids::{KeyId, OrgId, Page, PageRequest, PartnerId, PlanName, Ulid};
use time::{Duration, OffsetDateTime};

use crate::{Org, OrgFilter, OrgStatus, OrgVisibility, Slug, Step, Subscription, Workspace};

/// Which orgs to delete, of those that are not deleted or being deleted.
#[derive(Clone, Debug)]
pub enum DeletionSelector {
    /// Those of this visibility that have all of these labels, each a key and its value.
    Labelled(OrgVisibility, Vec<(String, String)>),
    /// Those whose lease has run out by this time.
    Expired(OffsetDateTime),
    /// Those of these orgs whose lease has run out by this time.
    ExpiredAmong(OffsetDateTime, Vec<OrgId>),
    /// Those that this key created.
    MadeBy(KeyId),
}

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

/// A request for a slug.
#[derive(Clone, Debug)]
pub struct SlugRequest {
    /// The slug.
    pub slug: Slug,
    /// The org that is to have it.
    pub org: OrgId,
    /// The partner whose org it is.
    pub partner: PartnerId,
    /// Another partner's org may have released it before this time, and no later.
    pub held_since: OffsetDateTime,
}

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
    /// Provisioning or deprovisioning.
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

/// What one search for orgs whose lease has run out has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiredOrgs {
    /// The orgs, those of one partner in the order in which their leases ran out.
    pub orgs: Vec<OrgId>,
    /// The partner behind which the next search goes on; none when this one came to the end.
    pub after: Option<PartnerId>,
}

/// Orgs that wait for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgBacklog {
    /// How many orgs are due and not leased, counted up to the limit that was asked for.
    pub due: u64,
    /// Since when the first of them is due.
    pub oldest: Option<OffsetDateTime>,
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

    /// The statuses of orgs, in no order; orgs that don't exist are left out.
    fn org_status_summaries(&mut self, ids: &[OrgId]) -> Result<Vec<StatusSummary>, Self::Error>;

    /// How long it took until the last orgs of this plan were ready for the first time, the latest
    /// first.
    fn provisioning_times(
        &mut self,
        plan: &PlanName,
        limit: usize,
    ) -> Result<Vec<Duration>, Self::Error>;

    /// The steps of an org in their order.
    fn org_steps(&mut self, id: OrgId) -> Result<Vec<Step>, Self::Error>;

    /// The workspaces of an org, newest first.
    fn workspaces(&mut self, org: OrgId, page: PageRequest)
    -> Result<Page<Workspace>, Self::Error>;

    /// The subscription of an org.
    fn subscription(&mut self, org: OrgId) -> Result<Option<Subscription>, Self::Error>;

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

/// Writes of a store of orgs; all within the caller's transaction.
pub trait OrgStore: OrgQueries {
    /// Gives a slug to an org. `false` when another org has it, or when it was released by another
    /// partner's org at `held_since` or later.
    fn slug_acquire(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// The same for many, each slug to the first that asks for it; which of them were given.
    fn slugs_acquire(&mut self, requests: &[SlugRequest]) -> Result<Vec<bool>, Self::Error> {
        let acquire = |request: &SlugRequest| {
            self.slug_acquire(
                &request.slug,
                request.org,
                request.partner,
                request.held_since,
            )
        };
        requests.iter().map(acquire).collect()
    }

    /// Releases the slug that an org has.
    fn slug_release(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), Self::Error>;

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

    /// Writes the name, plan, status, times, failure and attempts, and when it is due next for the
    /// reconciler. A lease stays as it is.
    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), Self::Error>;

    /// The same as [`OrgQueries::orgs_to_delete`], each locked against other writers until the transaction
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

    /// Sets when an org's lease ends, and nothing else.
    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), Self::Error>;

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
    /// [`OrgStore::org_update`] writes, and the steps.
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

    /// Adds a workspace; `false` when the org has one of this slug.
    fn workspace_insert(&mut self, workspace: &Workspace) -> Result<bool, Self::Error>;

    /// The same for many.
    fn workspaces_insert(&mut self, workspaces: &[Workspace]) -> Result<(), Self::Error> {
        for workspace in workspaces {
            self.workspace_insert(workspace)?;
        }
        Ok(())
    }

    /// Deletes all workspaces of an org.
    fn workspaces_delete(&mut self, org: OrgId) -> Result<(), Self::Error>;

    /// Sets the subscription of an org that is locked, and writes the org's plan and last change with it.
    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), Self::Error>;
}
