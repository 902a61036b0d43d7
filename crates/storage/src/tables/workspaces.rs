//! Workspaces.

use diesel::prelude::*;
use ids::{OrgId, Page, PageRequest, TypedId as _, WorkspaceId};
use orgs::{Slug, Workspace, WorkspaceQueries, WorkspaceStore};
use stores::StoreError;

use super::values;
use crate::{
    connection::{
        AnyBackend, AnyConnection,
        bulk::{self, BulkInsert, bulk_row},
        prepared::Prepared,
    },
    session::{Session, Writing},
};

diesel::table! {
    workspaces (id) {
        id -> Text,
        org_id -> Text,
        name -> Text,
        slug -> Text,
        created_at -> BigInt,
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = workspaces)]
struct WorkspaceRow {
    id: String,
    org_id: String,
    name: String,
    slug: String,
    created_at: i64,
}

bulk_row!(WorkspaceRow {
    id: Text = id,
    org_id: Text = org_id,
    name: Text = name,
    slug: Text = slug,
    created_at: Number = created_at,
});

impl BulkInsert for WorkspaceRow {
    const TABLE: &'static str = "workspaces";
    const ON_CONFLICT: &'static str = " ON CONFLICT (org_id, slug) DO NOTHING";
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

impl<M> WorkspaceQueries for Session<M> {
    type Error = StoreError;

    fn workspaces(&mut self, org: OrgId, page: PageRequest) -> Result<Page<Workspace>, StoreError> {
        let mut query = workspaces::table
            .filter(workspaces::org_id.eq(org.to_string()))
            .order(workspaces::id.desc())
            .limit(values::rows_for(page))
            .select(WorkspaceRow::as_select())
            .into_boxed::<AnyBackend>();
        if let Some(after) = values::after::<WorkspaceId>(page) {
            query = query.filter(workspaces::id.lt(after));
        }
        let rows = self.run(|connection| query.load(connection))?;
        let items: Vec<_> = rows
            .into_iter()
            .map(Workspace::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(items, page.limit, None, |workspace: &_| {
            workspace.id.ulid()
        }))
    }
}

impl WorkspaceStore for Session<Writing> {
    fn workspace_insert(&mut self, workspace: &Workspace) -> Result<bool, StoreError> {
        let row = WorkspaceRow::from(workspace);
        let rows = self.run(|connection| match connection {
            AnyConnection::Postgres(postgres) => Prepared(
                diesel::insert_into(workspaces::table)
                    .values(&row)
                    .on_conflict((workspaces::org_id, workspaces::slug))
                    .do_nothing(),
            )
            .execute(postgres),
            AnyConnection::Sqlite(sqlite) => bulk::insert_one(sqlite, &row),
        })?;
        Ok(rows > 0)
    }

    fn workspaces_insert(&mut self, workspaces: &[Workspace]) -> Result<(), StoreError> {
        let rows: Vec<_> = workspaces.iter().map(WorkspaceRow::from).collect();
        self.run(|connection| bulk::insert(connection, &rows))
    }

    fn workspaces_delete(&mut self, org: OrgId) -> Result<(), StoreError> {
        let all = workspaces::table.filter(workspaces::org_id.eq(org.to_string()));
        self.run(|connection| diesel::delete(all).execute(connection))?;
        Ok(())
    }
}
