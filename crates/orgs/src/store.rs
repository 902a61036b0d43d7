//! What a store of orgs must offer.

use ids::{KeyId, Name, OrgId, Page, PageRequest, PartnerId, PlanName, Ulid};
use time::{Duration, OffsetDateTime};

use crate::{Org, OrgStatus, OrgVisibility, Slug, Step, Subscription, Workspace};

/// Which orgs to list.
#[derive(Clone, Debug)]
pub struct OrgFilter {
    /// Those in visibility.
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

/// Which orgs are to go, of those that are not going or gone.
#[derive(Clone, Debug)]
pub enum DeletionSelector {
    /// Those in visibility that have all of these labels, each a key and its value.
    Labelled(OrgVisibility, Vec<(String, String)>),
    /// Those whose lease has run out by this time.
    Expired(OffsetDateTime),
    /// Those that this key made.
    MadeBy(KeyId),
}

/// What proves that a worker holds an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Ulid);

/// A hold on orgs for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What proves it.
    pub token: LeaseToken,
    /// When it ends unless it is renewed.
    pub until: OffsetDateTime,
}

/// A claim to a slug.
#[derive(Clone, Debug)]
pub struct SlugClaim {
    /// The slug.
    pub slug: Slug,
    /// The org that is to have it.
    pub org: OrgId,
    /// The partner whose org it is.
    pub partner: PartnerId,
    /// Another partner's org may have freed it before this time, and no later.
    pub held_since: OffsetDateTime,
}

/// An org that is to be taken on record; its slug has been claimed.
#[derive(Clone, Debug)]
pub struct NewOrg {
    /// The org.
    pub org: Org,
    /// The steps in which it is made.
    pub steps: Vec<Step>,
    /// Its subscription.
    pub subscription: Option<Subscription>,
    /// The hold of the worker that makes it. Without one it is for whoever comes first.
    pub lease: Option<Lease>,
}

/// An org and the steps in which it is made or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgWork {
    /// The org.
    pub org: Org,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
}

/// How far a worker has come with an org that it holds.
#[derive(Clone, Debug)]
pub struct OrgProgress {
    /// The org and its steps as they are now.
    pub work: OrgWork,
    /// When it is due next.
    pub due_at: Option<OffsetDateTime>,
    /// Whether the worker's hold ends with this.
    pub release: bool,
    /// Whether the org's subscription is canceled with this.
    pub cancel: bool,
}

/// An org that is due and that nobody has leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrg {
    /// The org.
    pub id: OrgId,
    /// The partner whose it is.
    pub partner_id: PartnerId,
    /// What is to be done: it is being made, or taken away.
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

/// What one search for due orgs has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueOrgs {
    /// The orgs, those of one partner and status the longest due first.
    pub orgs: Vec<DueOrg>,
    /// The partner behind which the next search goes on; none when this one came to the end.
    pub after: Option<PartnerId>,
    /// Whether a partner may have more orgs due than it gave.
    pub more: bool,
}

/// What waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgBacklog {
    /// How many orgs are due and held by nobody, counted up to the limit that was asked for.
    pub due: u64,
    /// Since when the first of them is due.
    pub oldest: Option<OffsetDateTime>,
}

/// Where an org stands, and since when it is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The org.
    pub id: OrgId,
    /// Its status.
    pub status: OrgStatus,
    /// When it was last changed; while nothing is pending, its steps change with it.
    pub updated_at: OffsetDateTime,
}

/// Questions to a store of orgs.
pub trait OrgQueries {
    /// What can go wrong in the store.
    type Error;

    /// One org, if it is in visibility; deleted ones too.
    fn org(&mut self, visibility: OrgVisibility, id: OrgId) -> Result<Option<Org>, Self::Error>;

    /// Orgs, newest first.
    fn orgs(&mut self, filter: &OrgFilter, page: PageRequest) -> Result<Page<Org>, Self::Error>;

    /// How many orgs each partner has that are not deleted, in the order of the question.
    fn live_org_counts(&mut self, partners: &[PartnerId]) -> Result<Vec<u64>, Self::Error>;

    /// How many orgs each key has made that are not deleted, in the order of the question.
    fn live_org_counts_of_keys(&mut self, keys: &[KeyId]) -> Result<Vec<u64>, Self::Error>;

    /// Up to `limit` of the orgs that are to go; the newest first where they are picked by label.
    fn doomed_orgs(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, Self::Error>;

    /// Where orgs stand, in no order; those that are not there are left out.
    fn org_standings(&mut self, ids: &[OrgId]) -> Result<Vec<Standing>, Self::Error>;

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

    /// When the next org falls due that nobody holds at `now`, `None` when there is none.
    fn next_org_due(&mut self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Self::Error>;

    /// Orgs that are due at `now` and that nobody has leased then, of the first partners behind
    /// `after` that have any. The work is bounded by the limits, and not by the number of orgs.
    fn orgs_due(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<DueOrgs, Self::Error>;

    /// The orgs that are due at `now` and that nobody holds then; up to `limit` are counted.
    fn org_backlog(&mut self, now: OffsetDateTime, limit: usize)
    -> Result<OrgBacklog, Self::Error>;
}

/// Changes to a store of orgs; all within the caller's transaction.
pub trait OrgStore: OrgQueries {
    /// Gives a slug to an org. `false` when another org has it, or when it was freed by another
    /// partner's org at `held_since` or later.
    fn slug_claim(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, Self::Error>;

    /// The same for many, the first claim to a slug before the next; which of them were given.
    fn slugs_claim(&mut self, claims: &[SlugClaim]) -> Result<Vec<bool>, Self::Error> {
        let claim = |claim: &SlugClaim| {
            self.slug_claim(&claim.slug, claim.org, claim.partner, claim.held_since)
        };
        claims.iter().map(claim).collect()
    }

    /// Frees the slug that an org has.
    fn slug_free(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), Self::Error>;

    /// Adds orgs, due at once for the reconciler.
    fn orgs_insert(&mut self, orgs: &[NewOrg]) -> Result<(), Self::Error>;

    /// Adds an org whose slug has been claimed, due at once for the reconciler.
    fn org_insert(&mut self, org: &Org, steps: &[Step]) -> Result<(), Self::Error> {
        self.orgs_insert(&[NewOrg {
            org: org.clone(),
            steps: steps.to_vec(),
            subscription: None,
            lease: None,
        }])
    }

    /// One org if it is in visibility, held against every other writer until the transaction ends.
    fn org_for_update(
        &mut self,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Option<Org>, Self::Error>;

    /// Writes the name, plan, status, times, failure and attempts, and when it is due next for the
    /// reconciler. A lease stays as it is.
    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), Self::Error>;

    /// The same as [`OrgQueries::doomed_orgs`], each held against every other writer until the
    /// transaction ends.
    fn doomed_orgs_for_update(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, Self::Error>;

    /// Sends orgs that are held and not going yet on their way out: does with all of them at once what
    /// [`Move::Delete`](crate::Move::Delete) does, adds the step in which each is taken away, and makes
    /// them due at `at`.
    fn orgs_send_off(&mut self, ids: &[OrgId], at: OffsetDateTime) -> Result<(), Self::Error>;

    /// Sets when an org's lease ends, and nothing else.
    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), Self::Error>;

    /// Writes all steps of an org, in place of those there are.
    fn steps_replace(&mut self, org: OrgId, steps: &[Step]) -> Result<(), Self::Error>;

    /// Leases those of these orgs that are due at `now` and that nobody has leased, in the order of the
    /// question. One that another transaction is about to lease is left out.
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

    /// Prolongs the token's hold on an org, if it still has it.
    fn lease_renew(&mut self, id: OrgId, lease: Lease) -> Result<(), Self::Error>;

    /// One org if the token still holds it, held against every other writer until the transaction
    /// ends. Whoever writes as a worker starts with this.
    fn org_leased(&mut self, id: OrgId, token: LeaseToken) -> Result<Option<Org>, Self::Error>;

    /// The same for many, with their steps and in the order of the question.
    fn orgs_leased(
        &mut self,
        held: &[(OrgId, LeaseToken)],
    ) -> Result<Vec<Option<OrgWork>>, Self::Error>;

    /// Writes how far a worker has come with orgs that it has found under its leases: what
    /// [`OrgStore::org_update`] writes, and the steps.
    fn orgs_progress(&mut self, progress: &[OrgProgress]) -> Result<(), Self::Error>;

    /// Makes up to `limit` orgs due at `at` that would be due after `later_than`, and has as many leases
    /// end then; tells how many of both. On PostgreSQL those that another transaction is about to change
    /// are left out.
    fn orgs_hasten(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, Self::Error>;

    /// Ends the token's hold on an org.
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

    /// Takes away all workspaces of an org.
    fn workspaces_delete(&mut self, org: OrgId) -> Result<(), Self::Error>;

    /// Sets the subscription of an org that is held, and writes the org's plan and last change with it.
    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), Self::Error>;
}
