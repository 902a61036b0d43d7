//! Workspaces in orgs.

use api_macros::{Request, Response};
use ids::{Name, OrgId, WorkspaceId};
use orgs::{Slug, Workspace, WorkspaceDraft};
use serde::Serialize;

use crate::Time;

/// A workspace in an org.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Workspace")]
pub struct WorkspaceView {
    /// The id of the workspace.
    id: WorkspaceId,
    /// The org that the workspace is in.
    org_id: OrgId,
    /// The name of the workspace.
    #[api(example = "QA")]
    name: Name,
    /// The part of the URL that names the workspace within the org.
    #[api(as = Slug, example = "qa-team")]
    slug: String,
    /// The time at which the workspace was created.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    created_at: Time,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        Self {
            id: workspace.id,
            org_id: workspace.org_id,
            name: workspace.name,
            slug: workspace.slug.to_string(),
            created_at: Time(workspace.created_at),
        }
    }
}

/// A workspace to create.
#[derive(Request)]
#[api(like = WorkspaceView)]
pub struct NewWorkspace {
    #[api(example = "QA")]
    name: Name,
    /// The part of the URL that names the workspace within the org. Without it, it is made from the name.
    #[api(example = "qa-team")]
    slug: Option<Slug>,
}

impl From<NewWorkspace> for WorkspaceDraft {
    fn from(asked: NewWorkspace) -> Self {
        Self {
            name: asked.name,
            slug: asked.slug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{pointers, read};

    #[track_caller]
    fn workspace(body: &str, expect: &[&str]) {
        assert_eq!(pointers(read::<NewWorkspace>(body)), expect, "{body}");
    }

    #[test]
    fn errors_in_a_workspace_point_to_the_field() {
        workspace(r#"{"name": "QA"}"#, &[]);
        workspace(r#"{"name": "日本", "slug": "nihon"}"#, &[]);
        workspace(r#"{"name": "ok name", "slug": "NO"}"#, &["/slug"]);
        workspace(r#"{"slug": "qa-2"}"#, &["/name"]);
    }
}
