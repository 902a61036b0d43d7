//! Orgs, their workspaces and their billing.

use api::client::{
    Billing, DeletedOrg, DeletedOrgs, DeletionQuery, NewOrg, NewWorkspace, Org, OrgChanges,
    OrgFilters, OrgSecrets, Plan, Renewal, Whoami, Workspace,
};
use ids::OrgId;
use reqwest::Method;

use crate::{error::Error, pages::Items, request::Client};

/// What came of deleting one org.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OrgDeletion {
    /// The server is at work on it.
    Going(Box<Org>),
    /// It was deleted before.
    Gone,
}

impl Client {
    /// The credential, its partner and its limits.
    ///
    /// # Errors
    /// As for any call.
    pub async fn whoami(&self) -> Result<Whoami, Error> {
        self.get("/cp/whoami".to_owned()).await
    }

    /// Creates an org; it is ready once [`Client::wait_for_org`] says so.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_org(&self, org: &NewOrg) -> Result<Org, Error> {
        self.post("/cp/orgs", org).await
    }

    /// The partner's orgs, newest first.
    #[must_use]
    pub fn orgs(&self, filters: &OrgFilters) -> Items<Org> {
        self.items("/cp/orgs", filters)
    }

    /// One org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn org(&self, id: OrgId) -> Result<Org, Error> {
        self.get(format!("/cp/orgs/{id}")).await
    }

    /// Changes an org; another plan and other options are there once [`Client::wait_for_org`] says that it is
    /// ready again.
    ///
    /// # Errors
    /// As for any call.
    pub async fn update_org(&self, id: OrgId, changes: &OrgChanges) -> Result<Org, Error> {
        let request = self.request(Method::PATCH, format!("/cp/orgs/{id}"));
        request.json(changes)?.send().await?.json()
    }

    /// The plans that the orgs can have, in the operator's order.
    #[must_use]
    pub fn plans(&self) -> Items<Plan> {
        self.items("/cp/plans", &serde_json::json!({}))
    }

    /// Renews the lease of an org: it lasts this many seconds from now.
    ///
    /// # Errors
    /// As for any call.
    pub async fn renew_org(&self, id: OrgId, ttl_seconds: u32) -> Result<Org, Error> {
        self.post(&format!("/cp/orgs/{id}/renew"), &Renewal { ttl_seconds })
            .await
    }

    /// Deletes an org. It may be called again.
    ///
    /// # Errors
    /// As for any call.
    pub async fn delete_org(&self, id: OrgId) -> Result<OrgDeletion, Error> {
        let request = self.request(Method::DELETE, format!("/cp/orgs/{id}"));
        let answer = request.send().await?;
        if answer.status() == 204 {
            Ok(OrgDeletion::Gone)
        } else {
            answer.json().map(|org| OrgDeletion::Going(Box::new(org)))
        }
    }

    /// Deletes all orgs that have all of these labels, each as `key:value`; with `dry_run`, says which those are.
    ///
    /// # Errors
    /// As for any call.
    pub async fn delete_orgs(
        &self,
        labels: &[String],
        dry_run: bool,
    ) -> Result<Vec<DeletedOrg>, Error> {
        let query = DeletionQuery {
            label: labels.to_vec(),
            dry_run: dry_run.then_some(true),
        };
        let request = self.request(Method::DELETE, "/cp/orgs").query(&query)?;
        let deleted: DeletedOrgs = request.send().await?.json()?;
        Ok(deleted.data)
    }

    /// The secrets of an org. Each reading is an audit event.
    ///
    /// # Errors
    /// As for any call.
    pub async fn org_secrets(&self, id: OrgId) -> Result<OrgSecrets, Error> {
        self.get(format!("/cp/orgs/{id}/secrets")).await
    }

    /// Has the secrets of an org replaced. The old ones can be read until [`Client::wait_for_org`] says that the
    /// org is ready again.
    ///
    /// # Errors
    /// As for any call.
    pub async fn rotate_org_secrets(&self, id: OrgId) -> Result<Org, Error> {
        let path = format!("/cp/orgs/{id}/rotate-secrets");
        self.post(&path, &serde_json::json!({})).await
    }

    /// Creates a workspace in an org that is ready.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_workspace(
        &self,
        org: OrgId,
        workspace: &NewWorkspace,
    ) -> Result<Workspace, Error> {
        self.post(&format!("/cp/orgs/{org}/workspaces"), workspace)
            .await
    }

    /// The workspaces of an org, newest first.
    #[must_use]
    pub fn workspaces(&self, org: OrgId) -> Items<Workspace> {
        self.items(
            &format!("/cp/orgs/{org}/workspaces"),
            &serde_json::json!({}),
        )
    }

    /// The billing state of an org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn billing(&self, org: OrgId) -> Result<Billing, Error> {
        self.get(format!("/cp/orgs/{org}/billing")).await
    }
}
