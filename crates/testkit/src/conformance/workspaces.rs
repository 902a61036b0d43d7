//! Workspaces of orgs.

use ids::WorkspaceId;
use orgs::{Org, Workspace};
use stores::{Database, prelude::*};

use super::fixture::{ALL, Fixture, at};
use crate::build::name;

async fn add_workspace<D: Database>(fixture: &Fixture<D>, workspace: &Workspace) -> bool {
    let workspace = workspace.clone();
    fixture
        .write(move |tx| tx.workspace_insert(&workspace))
        .await
}

async fn workspaces<D: Database>(fixture: &Fixture<D>, org: &Org) -> Vec<Workspace> {
    let id = org.id;
    let page = fixture.read(move |view| view.workspaces(id, ALL)).await;
    page.items
}

/// Names in any script.
pub async fn a_workspace_keeps_all_its_fields<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let org = fixture.any_org().await;
    let workspace = Workspace {
        name: name("実験 \"1\""),
        created_at: at(1),
        ..fixture.build.workspace(&org, "lab-1")
    };
    assert!(add_workspace(&fixture, &workspace).await);
    assert_eq!(workspaces(&fixture, &org).await, [workspace]);
}

/// Every org has its own `default`; the refused one leaves no trace, and the transaction goes on.
pub async fn the_slug_of_a_workspace_is_unique_within_its_org_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (org, other) = (fixture.any_org().await, fixture.any_org().await);
    let first = fixture.build.workspace(&org, "default");
    let elsewhere = fixture.build.workspace(&other, "default");
    assert!(add_workspace(&fixture, &first).await);
    assert!(add_workspace(&fixture, &elsewhere).await);
    let twin = fixture.build.workspace(&org, "default");
    let next = fixture.build.workspace(&org, "next");
    let expect = [next.clone(), first];
    let actual = fixture.write(move |tx| {
        let twin = tx.workspace_insert(&twin)?;
        Ok((twin, tx.workspace_insert(&next)?))
    });
    assert_eq!(actual.await, (false, true));
    assert_eq!(workspaces(&fixture, &org).await, expect);
    assert_eq!(workspaces(&fixture, &other).await, [elsewhere]);
}

/// The slugs are free again then.
pub async fn workspaces_are_taken_away_from_one_org_alone<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (org, other) = (fixture.any_org().await, fixture.any_org().await);
    for org in [&org, &other] {
        for slug in ["one", "two"] {
            assert!(add_workspace(&fixture, &fixture.build.workspace(org, slug)).await);
        }
    }
    let id = org.id;
    fixture.write(move |tx| tx.workspaces_delete(id)).await;
    assert_eq!(workspaces(&fixture, &org).await, []);
    assert_eq!(workspaces(&fixture, &other).await.len(), 2);
    assert!(add_workspace(&fixture, &fixture.build.workspace(&org, "one")).await);
}

/// No workspace is listed twice or lost between pages, and none of another org is among them.
pub async fn workspaces_are_paged_newest_first<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (org, other) = (fixture.any_org().await, fixture.any_org().await);
    let mut expect: Vec<WorkspaceId> = Vec::new();
    for slug in ["w-1", "w-5", "w-3", "w-4", "w-2"] {
        let workspace = fixture.build.workspace(&org, slug);
        expect.insert(0, workspace.id);
        assert!(add_workspace(&fixture, &workspace).await);
        assert!(add_workspace(&fixture, &fixture.build.workspace(&other, slug)).await);
    }
    let id = org.id;
    fixture
        .check_pages(
            &expect,
            |workspace: &Workspace| workspace.id,
            move |view, page| view.workspaces(id, page),
        )
        .await;
}
