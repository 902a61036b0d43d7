//! Slugs, workspaces, subscriptions and secrets in memory.

use ids::{OrgId, Page, PageRequest, PartnerId};
use keys::PepperId;
use orgs::{
    Org, Slug, SlugStore, Subscription, SubscriptionQueries, SubscriptionStore, Workspace,
    WorkspaceQueries, WorkspaceStore,
};
use stores::{OrgSecretQueries, OrgSecretStore, SealedOrgSecrets, StoreError};
use time::OffsetDateTime;

use super::session::{MemoryTx, Session, SlugRow};

impl SlugStore for MemoryTx {
    fn slug_acquire(
        &mut self,
        slug: &Slug,
        org: OrgId,
        partner: PartnerId,
        held_since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let can_have = self.state.slugs.get(slug).is_none_or(|row| {
            row.freed_at.map_or(row.org == org, |freed_at| {
                row.partner == partner || freed_at < held_since
            })
        });
        if can_have {
            let freed_at = None;
            self.state.slugs.put(
                slug.clone(),
                SlugRow {
                    org,
                    partner,
                    freed_at,
                },
            );
        }
        Ok(can_have)
    }

    fn slug_release(&mut self, org: OrgId, at: OffsetDateTime) -> Result<(), StoreError> {
        let has = |row: &SlugRow| row.org == org && row.freed_at.is_none();
        self.state.slugs.change(has, |row| row.freed_at = Some(at));
        Ok(())
    }
}

impl<Mode> WorkspaceQueries for Session<Mode> {
    type Error = StoreError;

    fn workspaces(&mut self, org: OrgId, page: PageRequest) -> Result<Page<Workspace>, StoreError> {
        let wanted = |workspace: &Workspace| workspace.org_id == org;
        Ok(self.state.workspaces.page(page, wanted))
    }
}

impl WorkspaceStore for MemoryTx {
    fn workspace_insert(&mut self, workspace: &Workspace) -> Result<bool, StoreError> {
        self.state.check_org(workspace.org_id)?;
        let same =
            |other: &Workspace| other.org_id == workspace.org_id && other.slug == workspace.slug;
        if self.state.workspaces.rows().any(same) {
            return Ok(false);
        }
        let workspaces = &mut self.state.workspaces;
        workspaces.insert(workspace.id, workspace.clone())?;
        Ok(true)
    }

    fn workspaces_delete(&mut self, org: OrgId) -> Result<(), StoreError> {
        self.state.workspaces.retain(|row| row.org_id != org);
        Ok(())
    }
}

impl<Mode> SubscriptionQueries for Session<Mode> {
    type Error = StoreError;

    fn subscription(&mut self, org: OrgId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.state.subscriptions.get(&org).copied())
    }
}

impl SubscriptionStore for MemoryTx {
    fn subscription_put(
        &mut self,
        org: &Org,
        subscription: &Subscription,
    ) -> Result<(), StoreError> {
        self.state.check_org(org.id)?;
        if let Some(row) = self.state.orgs.get_mut(&org.id) {
            row.org.plan = org.plan.clone();
            row.org.updated_at = org.updated_at;
        }
        self.state.subscriptions.put(org.id, *subscription);
        Ok(())
    }
}

impl<Mode> OrgSecretQueries for Session<Mode> {
    fn org_secrets(&mut self, orgs: &[OrgId]) -> Result<Vec<SealedOrgSecrets>, StoreError> {
        let all = orgs
            .iter()
            .filter_map(|org| self.state.org_secrets.get(org));
        Ok(all.cloned().collect())
    }

    fn org_secrets_under(
        &mut self,
        pepper: PepperId,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<SealedOrgSecrets>, StoreError> {
        let rows = self.state.org_secrets.rows();
        let under = rows.filter(|row| row.pepper == pepper && after.is_none_or(|id| row.org > id));
        Ok(under.take(limit).cloned().collect())
    }
}

impl OrgSecretStore for MemoryTx {
    fn org_secrets_put(&mut self, secrets: &SealedOrgSecrets) -> Result<(), StoreError> {
        self.state.check_org(secrets.org)?;
        self.state.org_secrets.put(secrets.org, secrets.clone());
        Ok(())
    }

    fn org_secrets_erase(&mut self, org: OrgId) -> Result<(), StoreError> {
        self.state.org_secrets.retain(|row| row.org != org);
        Ok(())
    }

    fn org_secrets_reseal(
        &mut self,
        expected: &[u8],
        new: &SealedOrgSecrets,
    ) -> Result<bool, StoreError> {
        let row = self.state.org_secrets.get_mut(&new.org);
        let Some(row) = row.filter(|row| row.sealed == expected) else {
            return Ok(false);
        };
        row.sealed.clone_from(&new.sealed);
        row.pepper = new.pepper;
        Ok(true)
    }
}
