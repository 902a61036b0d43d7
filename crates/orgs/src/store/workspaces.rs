//! The store traits for workspaces.

use ids::{OrgId, Page, PageRequest};

use crate::Workspace;

/// Queries of a store of workspaces.
pub trait WorkspaceQueries {
    /// The store's error.
    type Error;

    /// The workspaces of an org, newest first.
    fn workspaces(&mut self, org: OrgId, page: PageRequest)
    -> Result<Page<Workspace>, Self::Error>;
}

/// Writes of a store of workspaces; all within the caller's transaction.
pub trait WorkspaceStore: WorkspaceQueries {
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
}
