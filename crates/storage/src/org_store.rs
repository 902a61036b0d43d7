//! The store of orgs: where each question and each change is found.

use ids::{KeyId, OrgId, Page, PageRequest, PartnerId, PlanName};
use orgs::{
    DeletionSelector, DueLimits, DueOrgs, ExpiredOrgs, Lease, LeaseToken, NewOrg, Org, OrgBacklog,
    OrgFilter, OrgProgress, OrgQueries, OrgStore, OrgVisibility, OrgWork, Slug, SlugRequest,
    StatusSummary, Step, Subscription, Workspace,
};
use stores::StoreError;
use time::{Duration, OffsetDateTime};

use crate::{
    org_ends, org_lists, org_progress, org_work, orgs as rows,
    session::{Session, Writing},
    slugs, subscriptions, workspaces,
};

impl<M> OrgQueries for Session<M> {
    type Error = StoreError;

    fn org(&mut self, visibility: OrgVisibility, id: OrgId) -> Result<Option<Org>, StoreError> {
        rows::by_id(self, visibility, id)
    }

    fn orgs(&mut self, filter: &OrgFilter, page: PageRequest) -> Result<Page<Org>, StoreError> {
        org_lists::list(self, filter, page)
    }

    fn live_org_counts(&mut self, partners: &[PartnerId]) -> Result<Vec<u64>, StoreError> {
        rows::live_counts(self, partners)
    }

    fn live_org_counts_of_keys(&mut self, keys: &[KeyId]) -> Result<Vec<u64>, StoreError> {
        rows::live_counts_of_keys(self, keys)
    }

    fn orgs_to_delete(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        org_ends::list(self, which, limit)
    }

    fn expired_orgs(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<ExpiredOrgs, StoreError> {
        org_ends::expired_by_partner(self, now, after, limits)
    }

    fn org_status_summaries(&mut self, ids: &[OrgId]) -> Result<Vec<StatusSummary>, StoreError> {
        org_progress::standings(self, ids)
    }

    fn provisioning_times(
        &mut self,
        plan: &PlanName,
        limit: usize,
    ) -> Result<Vec<Duration>, StoreError> {
        org_progress::provisioning_times(self, plan, limit)
    }

    fn org_steps(&mut self, id: OrgId) -> Result<Vec<Step>, StoreError> {
        org_work::steps_of(self, id)
    }

    fn workspaces(&mut self, org: OrgId, page: PageRequest) -> Result<Page<Workspace>, StoreError> {
        workspaces::list(self, org, page)
    }

    fn subscription(&mut self, org: OrgId) -> Result<Option<Subscription>, StoreError> {
        subscriptions::by_org(self, org)
    }

    fn next_org_due(&mut self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, StoreError> {
        org_work::next_due(self, now)
    }

    fn orgs_due(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<DueOrgs, StoreError> {
        org_work::due(self, now, after, limits)
    }

    fn org_backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<OrgBacklog, StoreError> {
        org_work::backlog(self, now, limit)
    }
}

impl OrgStore for Session<Writing> {
    fn slug_acquire(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let claim = SlugRequest {
            slug: slug.clone(),
            org,
            partner,
            held_since,
        };
        Ok(slugs::claim(self, &[claim])? == [true])
    }

    fn slugs_acquire(&mut self, claims: &[SlugRequest]) -> Result<Vec<bool>, StoreError> {
        slugs::claim(self, claims)
    }

    fn slug_release(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), StoreError> {
        slugs::free(self, org, at)
    }

    fn orgs_insert(&mut self, orgs: &[NewOrg]) -> Result<(), StoreError> {
        rows::insert(self, orgs)
    }

    fn org_for_update(
        &mut self,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Option<Org>, StoreError> {
        rows::lock(self, visibility, id)
    }

    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), StoreError> {
        rows::update(self, org, due_at)
    }

    fn orgs_to_delete_for_update(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        org_ends::lock(self, which, limit)
    }

    fn orgs_begin_deprovision(
        &mut self,
        ids: &[OrgId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        org_ends::begin_deprovision(self, ids, at)
    }

    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), StoreError> {
        org_ends::renew(self, id, expires_at)
    }

    fn steps_replace(&mut self, org: OrgId, steps: &[Step]) -> Result<(), StoreError> {
        org_work::steps_replace(self, org, steps)
    }

    fn orgs_lease(
        &mut self,
        ids: &[OrgId],
        now: OffsetDateTime,
        lease: Lease,
        begin: impl Fn(&mut OrgProgress),
    ) -> Result<Vec<OrgWork>, StoreError> {
        org_work::lease(self, ids, now, lease, begin)
    }

    fn lease_renew(&mut self, id: OrgId, lease: Lease) -> Result<(), StoreError> {
        org_work::lease_renew(self, id, lease)
    }

    fn org_leased(&mut self, id: OrgId, token: LeaseToken) -> Result<Option<Org>, StoreError> {
        org_work::leased(self, id, token)
    }

    fn orgs_leased(
        &mut self,
        held: &[(OrgId, LeaseToken)],
    ) -> Result<Vec<Option<OrgWork>>, StoreError> {
        org_work::leased_all(self, held)
    }

    fn orgs_progress(&mut self, progress: &[OrgProgress]) -> Result<(), StoreError> {
        org_work::progress(self, progress)
    }

    fn orgs_make_due(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        org_work::hasten(self, later_than, at, limit)
    }

    fn lease_release(&mut self, id: OrgId, token: LeaseToken) -> Result<(), StoreError> {
        org_work::lease_release(self, id, token)
    }

    fn workspace_insert(&mut self, workspace: &Workspace) -> Result<bool, StoreError> {
        workspaces::insert(self, workspace)
    }

    fn workspaces_insert(&mut self, workspaces: &[Workspace]) -> Result<(), StoreError> {
        workspaces::insert_all(self, workspaces)
    }

    fn workspaces_delete(&mut self, org: OrgId) -> Result<(), StoreError> {
        workspaces::delete_all(self, org)
    }

    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), StoreError> {
        subscriptions::put(self, org, subscription)
    }
}
