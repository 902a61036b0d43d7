//! Rows of workspaces.

use diesel::prelude::*;
use ids::{OrgId, Page, PageRequest, TypedId as _, WorkspaceId};
use orgs::{Slug, Workspace};
use stores::StoreError;

use crate::{
    connection::AnyBackend,
    dialect,
    schema::workspaces,
    session::{Session, Writing},
    values,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = workspaces)]
pub(crate) struct WorkspaceRow {
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) created_at: i64,
}

impl From<&Workspace> for WorkspaceRow {
    fn from(workspace: &Workspace) -> Self {
        Self {
            id: workspace.id.to_string(),
            org_id: workspace.org_id.to_string(),
            name: workspace.name.to_string(),
            slug: workspace.slug.to_string(),
            created_at: values::micros(workspace.created_at),
        }
    }
}

impl TryFrom<WorkspaceRow> for Workspace {
    type Error = StoreError;

    fn try_from(row: WorkspaceRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of a workspace")?,
            org_id: values::id(&row.org_id, "the org of a workspace")?,
            name: values::name(row.name, "the name of a workspace")?,
            slug: Slug::new(row.slug).map_err(|_| values::corrupt("the slug of a workspace"))?,
            created_at: values::time(row.created_at, "the time of a workspace")?,
        })
    }
}

pub(crate) fn list<M>(
    session: &mut Session<M>,
    org: OrgId,
    page: PageRequest,
) -> Result<Page<Workspace>, StoreError> {
    let mut query = workspaces::table
        .filter(workspaces::org_id.eq(org.to_string()))
        .order(workspaces::id.desc())
        .limit(values::rows_for(page))
        .select(WorkspaceRow::as_select())
        .into_boxed::<AnyBackend>();
    if let Some(after) = values::after::<WorkspaceId>(page) {
        query = query.filter(workspaces::id.lt(after));
    }
    let rows = session.run(|connection| query.load(connection))?;
    let items: Vec<_> = rows
        .into_iter()
        .map(Workspace::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Page::cut(items, page.limit, None, |workspace: &_| {
        workspace.id.ulid()
    }))
}

pub(crate) fn insert(
    session: &mut Session<Writing>,
    workspace: &Workspace,
) -> Result<bool, StoreError> {
    let row = WorkspaceRow::from(workspace);
    session.run(|connection| dialect::workspace_insert(connection, &row))
}

pub(crate) fn insert_all(
    session: &mut Session<Writing>,
    workspaces: &[Workspace],
) -> Result<(), StoreError> {
    let rows: Vec<_> = workspaces.iter().map(WorkspaceRow::from).collect();
    session.run(|connection| dialect::many::workspaces_insert(connection, &rows))
}

pub(crate) fn delete_all(session: &mut Session<Writing>, org: OrgId) -> Result<(), StoreError> {
    let all = workspaces::table.filter(workspaces::org_id.eq(org.to_string()));
    session.run(|connection| diesel::delete(all).execute(connection))?;
    Ok(())
}
