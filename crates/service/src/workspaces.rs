//! Workspaces within an org.

use audit::{Target, TargetKind};
use ids::{OrgId, Page, PageRequest};
use orgs::{Workspace, WorkspaceDraft};
use ratelimit::Limiter;
use stores::{Database, prelude::*};

use crate::{
    Audited, Context, Error, OrgConflict, Rejection, Rendered, Service,
    audited::Auditable,
    authorize::check_org_plan,
    orgs::{reading_visibility, visibility},
};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Creates a workspace in an org that is ready.
    ///
    /// # Errors
    /// When the caller can't see the org, the key is limited to other plans, the org is not ready, or it has a
    /// workspace of this slug.
    pub async fn workspace_create(
        &self,
        context: &Context,
        org_id: OrgId,
        draft: WorkspaceDraft,
        render: impl Fn(&Workspace) -> Rendered + Send + 'static,
    ) -> Result<Audited<Rendered>, Rejection> {
        let id = self.env.id();
        let slug = match draft.slug_for(id) {
            Ok(slug) => slug,
            Err(error) => return Err(self.reject(context, Error::at("/slug", error)).await),
        };
        let created_at = context.request.at;
        let workspace = Workspace {
            id,
            org_id,
            name: draft.name,
            slug,
            created_at,
        };
        self.idempotent_write(context, None, render, move |tx, caller| {
            // The org's row is locked, so that it can't be deleted beside this.
            let org = tx
                .org_for_update(visibility(caller), org_id)?
                .ok_or(Error::NotFound)?;
            check_org_plan(caller, &org.plan)?;
            if !org.status.is_usable() {
                return Err(OrgConflict::NotReady(org.status).into());
            }
            if !tx.workspace_insert(&workspace)? {
                return Err(Error::SlugTaken);
            }
            Ok(Auditable::new(201, workspace.clone())
                .target(Target::one(TargetKind::Workspace, workspace.id))
                .detail("name", workspace.name.as_str())
                .detail("slug", workspace.slug.as_str()))
        })
        .await
    }

    /// Lists the workspaces of an org.
    ///
    /// # Errors
    /// When the caller can't see the org.
    pub async fn workspace_list(
        &self,
        context: &Context,
        org_id: OrgId,
        page: PageRequest,
    ) -> Result<Audited<Page<Workspace>>, Rejection> {
        let visibility = reading_visibility(&context.caller);
        self.audited_list(context, move |view| {
            view.org(visibility, org_id)?.ok_or(Error::NotFound)?;
            Ok(Auditable::new(200, view.workspaces(org_id, page)?))
        })
        .await
    }
}
