//! Workspaces within an org.

use ids::{Name, OrgId, WorkspaceId};
use time::OffsetDateTime;

use crate::Slug;

/// The name and slug of the workspace that every ready org has.
pub const DEFAULT_WORKSPACE: &str = "default";

/// A workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// The org it is in.
    pub org_id: OrgId,
    /// Its name.
    pub name: Name,
    /// Its slug, unique within the org.
    pub slug: Slug,
    /// When it was created.
    pub created_at: OffsetDateTime,
}
