//! `/cp/orgs/{id}/workspaces`.

use api::{
    ErrorCode, NewWorkspace, Request as _, WorkspaceView,
    openapi::{Body, Content, Operation, Success, Tag},
};
use ids::OrgId;
use orgs::Workspace;

use super::{page, rendered};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const WORKSPACE_CREATE: Operation = Operation {
    detail: "The org must be `ready`. A ready org already has a workspace, `default`.",
    body: Some(Body::of::<NewWorkspace>()),
    errors: &[
        ErrorCode::OrgPlanNotAllowed,
        ErrorCode::SlugTaken,
        ErrorCode::OrgStateConflict,
    ],
    ..Operation::new(
        "createWorkspace",
        Tag::Orgs,
        "Create a workspace in an org",
        &[Success::new(
            201,
            "The new workspace.",
            Content::json::<WorkspaceView>(),
        )],
    )
};

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let asked = request.json(|body| NewWorkspace::from_body(body, &()))?;
    let render = |workspace: &Workspace| rendered(&WorkspaceView::from(workspace.clone()));
    let answer = request
        .service()
        .workspace_create(&request.context, request.id()?, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const WORKSPACE_LIST: Operation = Operation::new(
    "listWorkspaces",
    Tag::Orgs,
    "List the workspaces of an org",
    &[Success::new(
        200,
        "A page of workspaces.",
        Content::list::<WorkspaceView>(),
    )],
);

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let of = request
        .id::<OrgId>()
        .map_or_else(|_| String::new(), |id| id.to_string());
    let ((), params) = request.list(&format!("workspaces of {of}"))?;
    let answer = request
        .service()
        .workspace_list(&request.context, request.id()?, params.page)
        .await?;
    page(answer, &params, WorkspaceView::from)
}
