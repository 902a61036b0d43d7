//! Orgs and their leases in memory.

use ids::{KeyId, OrgId, Page, PageRequest, PartnerId, PlanName};
use orgs::{
    DeletionSelector, DueLimits, DueOrgs, ExpiredOrgs, Lease, LeaseToken, NewOrg, Org, OrgBacklog,
    OrgDeletionQueries, OrgDeletionStore, OrgFilter, OrgProgress, OrgQueries, OrgStatus, OrgStore,
    OrgVisibility, OrgWork, OrgWorkQueries, OrgWorkStore, StatusSummary, Step, StepName,
    Subscription, SubscriptionStatus, Transition,
};
use stores::StoreError;
use time::{Duration, OffsetDateTime};

use super::{
    org_work::is_doomed,
    session::{MemoryTx, OrgRow, Session, State},
    table::Violated,
};

impl State {
    pub(super) fn check_org(&self, id: OrgId) -> Result<(), StoreError> {
        match self.orgs.get(&id) {
            Some(_) => Ok(()),
            None => Err(Violated("the org must exist").into()),
        }
    }
}

impl<Mode> OrgQueries for Session<Mode> {
    type Error = StoreError;

    fn org(&mut self, visibility: OrgVisibility, id: OrgId) -> Result<Option<Org>, StoreError> {
        let org = self.state.orgs.get(&id).map(|row| &row.org);
        Ok(org.filter(|org| visibility.includes(org)).cloned())
    }

    fn orgs(&mut self, filter: &OrgFilter, page: PageRequest) -> Result<Page<Org>, StoreError> {
        // An engine finds these by an index.
        let indexed =
            filter.slug.is_some() || filter.external_id.is_some() || !filter.labels.is_empty();
        let page = if indexed {
            page.with_budget(usize::MAX)
        } else {
            page
        };
        let wanted = |row: &OrgRow| filter.includes(&row.org);
        Ok(self.state.orgs.page(page, wanted).map(|row| row.org))
    }

    fn live_org_counts(&mut self, partners: &[PartnerId]) -> Result<Vec<u64>, StoreError> {
        let count = |&id| self.live(|org| org.partner_id == id);
        Ok(partners.iter().map(count).collect())
    }

    fn live_org_counts_of_keys(&mut self, keys: &[KeyId]) -> Result<Vec<u64>, StoreError> {
        let count = |&id| self.live(|org| org.created_by_key_id == id);
        Ok(keys.iter().map(count).collect())
    }

    fn org_status_summaries(&mut self, ids: &[OrgId]) -> Result<Vec<StatusSummary>, StoreError> {
        let rows = ids.iter().filter_map(|id| self.state.orgs.get(id));
        let standing = |org: &Org| StatusSummary {
            id: org.id,
            status: org.status,
            updated_at: org.updated_at,
        };
        Ok(rows.map(|row| standing(&row.org)).collect())
    }

    fn provisioning_times(
        &mut self,
        plan: &PlanName,
        limit: usize,
    ) -> Result<Vec<Duration>, StoreError> {
        let of_plan = self.state.orgs.rows().filter(|row| row.org.plan == *plan);
        let mut ready: Vec<_> = of_plan
            .filter_map(|row| Some((row.org.ready_at?, row.org.created_at)))
            .collect();
        ready.sort_unstable();
        let latest = ready.into_iter().rev().take(limit);
        Ok(latest.map(|(ready, created)| ready - created).collect())
    }
}

impl<Mode> OrgDeletionQueries for Session<Mode> {
    type Error = StoreError;

    fn orgs_to_delete(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        let newest_first = self.state.orgs.rows().rev().map(|row| &row.org);
        let doomed = newest_first.filter(|org| org.status.is_deletable() && is_doomed(which, org));
        Ok(doomed.take(limit).cloned().collect())
    }

    fn expired_orgs(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<ExpiredOrgs, StoreError> {
        Ok(self.state.expired_orgs(now, after, limits))
    }
}

impl<Mode> OrgWorkQueries for Session<Mode> {
    type Error = StoreError;

    fn org_steps(&mut self, id: OrgId) -> Result<Vec<Step>, StoreError> {
        let row = self.state.orgs.get(&id);
        Ok(row.map(|row| row.steps.clone()).unwrap_or_default())
    }

    fn next_org_due(&mut self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, StoreError> {
        let free = self.state.orgs.rows().filter(|row| !row.is_held(now));
        Ok(free.filter_map(|row| row.due_at).min())
    }

    fn orgs_due(
        &mut self,
        now: OffsetDateTime,
        after: Option<PartnerId>,
        limits: DueLimits,
    ) -> Result<DueOrgs, StoreError> {
        Ok(self.state.due_orgs(now, after, limits))
    }

    fn org_backlog(&mut self, now: OffsetDateTime, limit: usize) -> Result<OrgBacklog, StoreError> {
        let free = self.state.orgs.rows().filter(|row| !row.is_held(now));
        let due: Vec<_> = free
            .filter_map(|row| row.due_at.filter(|&at| at <= now))
            .collect();
        Ok(OrgBacklog {
            due: due.len().min(limit).try_into().unwrap(),
            oldest: due.into_iter().min(),
        })
    }
}

impl<Mode> Session<Mode> {
    fn live(&self, wanted: impl Fn(&Org) -> bool) -> u64 {
        let live = |org: &Org| org.status != OrgStatus::Deleted && wanted(org);
        let count = self.state.orgs.rows().filter(|row| live(&row.org)).count();
        count.try_into().unwrap()
    }
}

impl OrgStore for MemoryTx {
    fn orgs_insert(&mut self, orgs: &[NewOrg]) -> Result<(), StoreError> {
        for new in orgs {
            let org = &new.org;
            if self.state.partners.get(&org.partner_id).is_none() {
                return Err(Violated("an org's partner must exist").into());
            }
            let claim = self.state.slugs.get(&org.slug);
            if claim.is_none_or(|row| row.org != org.id || row.freed_at.is_some()) {
                return Err(Violated("an org's slug must have been claimed").into());
            }
            let row = OrgRow {
                org: org.clone(),
                steps: new.steps.clone(),
                due_at: Some(org.created_at),
                lease: new.lease,
            };
            self.state.orgs.insert(org.id, row)?;
            if let Some(subscription) = new.subscription {
                self.state.subscriptions.put(org.id, subscription);
            }
        }
        Ok(())
    }

    fn org_for_update(
        &mut self,
        visibility: OrgVisibility,
        id: OrgId,
    ) -> Result<Option<Org>, StoreError> {
        self.org(visibility, id)
    }

    fn org_update(&mut self, org: &Org, due_at: Option<OffsetDateTime>) -> Result<(), StoreError> {
        if let Some(row) = self.state.orgs.get_mut(&org.id) {
            let (stored, org) = (&mut row.org, org.clone());
            stored.name = org.name;
            stored.plan = org.plan;
            stored.options = org.options;
            stored.change = org.change;
            stored.status = org.status;
            stored.updated_at = org.updated_at;
            stored.ready_at = org.ready_at;
            stored.deleted_at = org.deleted_at;
            stored.failure = org.failure;
            stored.outputs = org.outputs;
            stored.secret_names = org.secret_names;
            stored.attempts = org.attempts;
            row.due_at = due_at;
        }
        Ok(())
    }

    fn org_edit(
        &mut self,
        org: &Org,
        work: Option<(&[Step], OffsetDateTime)>,
    ) -> Result<(), StoreError> {
        let due_at = self.state.orgs.get(&org.id).and_then(|row| row.due_at);
        self.org_update(org, work.map_or(due_at, |(_, due_at)| Some(due_at)))?;
        if let Some(row) = self.state.orgs.get_mut(&org.id) {
            row.org.external_id.clone_from(&org.external_id);
            row.org.labels.clone_from(&org.labels);
            row.org.delete_protection = org.delete_protection;
            if let Some((steps, _)) = work {
                row.steps = steps.to_vec();
            }
        }
        Ok(())
    }

    fn org_renew(&mut self, id: OrgId, expires_at: OffsetDateTime) -> Result<(), StoreError> {
        if let Some(row) = self.state.orgs.get_mut(&id) {
            row.org.expires_at = Some(expires_at);
        }
        Ok(())
    }
}

impl OrgDeletionStore for MemoryTx {
    fn orgs_to_delete_for_update(
        &mut self,
        which: &DeletionSelector,
        limit: usize,
    ) -> Result<Vec<Org>, StoreError> {
        self.orgs_to_delete(which, limit)
    }

    fn orgs_begin_deprovision(
        &mut self,
        ids: &[OrgId],
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        for id in ids {
            if let Some(row) = self.state.orgs.get_mut(id) {
                row.org.apply(Transition::Delete, at).unwrap();
                row.steps.push(Step::pending(StepName::Deprovision));
                row.due_at = Some(at);
            }
        }
        Ok(())
    }
}

impl OrgWorkStore for MemoryTx {
    fn steps_replace(&mut self, org: OrgId, steps: &[Step]) -> Result<(), StoreError> {
        self.state.check_org(org)?;
        if let Some(row) = self.state.orgs.get_mut(&org) {
            row.steps = steps.to_vec();
        }
        Ok(())
    }

    fn orgs_lease(
        &mut self,
        ids: &[OrgId],
        now: OffsetDateTime,
        lease: Lease,
        begin: impl Fn(&mut OrgProgress),
    ) -> Result<Vec<OrgWork>, StoreError> {
        let mut taken = Vec::new();
        for id in ids {
            if let Some(row) = self.state.orgs.get_mut(id)
                && !row.is_held(now)
                && let Some(due_at) = row.due_at.filter(|&due| due <= now)
            {
                row.lease = Some(lease);
                let mut one = OrgProgress {
                    work: work(row),
                    due_at: Some(due_at),
                    release: false,
                    cancel: false,
                };
                begin(&mut one);
                self.orgs_progress(std::slice::from_ref(&one))?;
                taken.push(one.work);
            }
        }
        Ok(taken)
    }

    fn lease_renew(&mut self, id: OrgId, lease: Lease) -> Result<(), StoreError> {
        let held = |row: &OrgRow| row.org.id == id && holds(row, lease.token);
        self.state.orgs.change(held, |row| row.lease = Some(lease));
        Ok(())
    }

    fn org_leased(&mut self, id: OrgId, token: LeaseToken) -> Result<Option<Org>, StoreError> {
        let row = self.state.orgs.get(&id).filter(|row| holds(row, token));
        Ok(row.map(|row| row.org.clone()))
    }

    fn orgs_leased(
        &mut self,
        held: &[(OrgId, LeaseToken)],
    ) -> Result<Vec<Option<OrgWork>>, StoreError> {
        let find = |&(id, token): &(OrgId, LeaseToken)| {
            let row = self.state.orgs.get(&id).filter(|row| holds(row, token));
            row.map(work)
        };
        Ok(held.iter().map(find).collect())
    }

    fn orgs_progress(&mut self, progress: &[OrgProgress]) -> Result<(), StoreError> {
        for one in progress {
            let OrgWork { org, steps } = &one.work;
            self.org_update(org, one.due_at)?;
            self.steps_replace(org.id, steps)?;
            if one.release
                && let Some(row) = self.state.orgs.get_mut(&org.id)
            {
                row.lease = None;
            }
            if one.cancel {
                let its = |subscription: &mut Subscription| {
                    subscription.status = SubscriptionStatus::Canceled;
                };
                self.state.subscriptions.get_mut(&org.id).map(its);
            }
        }
        Ok(())
    }

    fn orgs_make_due(
        &mut self,
        later_than: OffsetDateTime,
        at: OffsetDateTime,
        limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(self.state.hasten_orgs(later_than, at, limit))
    }

    fn lease_release(&mut self, id: OrgId, token: LeaseToken) -> Result<(), StoreError> {
        let held = |row: &OrgRow| row.org.id == id && holds(row, token);
        self.state.orgs.change(held, |row| row.lease = None);
        Ok(())
    }
}

fn work(row: &OrgRow) -> OrgWork {
    OrgWork {
        org: row.org.clone(),
        steps: row.steps.clone(),
    }
}

fn holds(row: &OrgRow, token: LeaseToken) -> bool {
    row.lease.is_some_and(|lease| lease.token == token)
}
