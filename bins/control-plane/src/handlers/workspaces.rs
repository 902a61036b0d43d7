//! `/cp/orgs/{id}/workspaces`.

use api::{ListParams, WorkspaceView, workspace_draft};
use ids::OrgId;
use orgs::Workspace;

use super::{page, rendered};
use crate::http::{Failure, Http, Reply};

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let draft = http.json(workspace_draft)?;
    let render = |workspace: &Workspace| rendered(&WorkspaceView::from(workspace.clone()));
    let answer = http
        .service()
        .workspace_create(&http.context, http.id()?, draft, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let of = http
        .id::<OrgId>()
        .map_or_else(|_| String::new(), |id| id.to_string());
    let params = ListParams::finish(http.query()?, &format!("workspaces of {of}"))?;
    let answer = http
        .service()
        .workspace_list(&http.context, http.id()?, params.page)
        .await?;
    page(answer, &params, WorkspaceView::from)
}
