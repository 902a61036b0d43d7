//! The calls of the operator, with an admin key.

use api::client::{
    AuditEvent, Billing, EventFilters, Instance, IssuedPartnerKey, KeyFilters, NewBilling,
    NewPartner, NewPartnerKey, NewTrustRule, Org, OrgFilters, Partner, PartnerChanges, PartnerKey,
    PartnerKeyChanges, TrustRule, TrustRuleChanges, TrustRuleFilters,
};
use ids::{EventId, KeyId, OrgId, PartnerId, TrustRuleId};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{error::Error, pages::Items, request::Client};

/// The calls of the operator. [`Client::keys`], [`Client::key`], [`Client::rotate_key`] and
/// [`Client::revoke_key`] are for operators as well.
#[derive(Clone, Copy, Debug)]
pub struct Admin<'a>(&'a Client);

impl Client {
    /// The calls of the operator.
    #[must_use]
    pub const fn admin(&self) -> Admin<'_> {
        Admin(self)
    }
}

impl Admin<'_> {
    /// Creates a partner.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_partner(&self, partner: &NewPartner) -> Result<Partner, Error> {
        self.0.post("/cp/admin/partners", partner).await
    }

    /// All partners, newest first.
    #[must_use]
    pub fn partners(&self) -> Items<Partner> {
        self.0.items("/cp/admin/partners", &json!({}))
    }

    /// One partner.
    ///
    /// # Errors
    /// As for any call.
    pub async fn partner(&self, id: PartnerId) -> Result<Partner, Error> {
        self.0.get(format!("/cp/admin/partners/{id}")).await
    }

    /// Changes a partner.
    ///
    /// # Errors
    /// As for any call.
    pub async fn change_partner(
        &self,
        id: PartnerId,
        changes: &PartnerChanges,
    ) -> Result<Partner, Error> {
        self.change(Method::PATCH, format!("/cp/admin/partners/{id}"), changes)
            .await
    }

    /// Creates a partner key; its secret is shown this once.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_key(&self, key: &NewPartnerKey) -> Result<IssuedPartnerKey, Error> {
        self.0.post("/cp/admin/partner-keys", key).await
    }

    /// All partner keys, newest first.
    #[must_use]
    pub fn keys(&self, filters: &KeyFilters) -> Items<PartnerKey> {
        self.0.keys(filters)
    }

    /// Changes a partner key.
    ///
    /// # Errors
    /// As for any call.
    pub async fn change_key(
        &self,
        id: KeyId,
        changes: &PartnerKeyChanges,
    ) -> Result<PartnerKey, Error> {
        self.change(
            Method::PATCH,
            format!("/cp/admin/partner-keys/{id}"),
            changes,
        )
        .await
    }

    /// Creates a trust rule.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_trust_rule(&self, rule: &NewTrustRule) -> Result<TrustRule, Error> {
        self.0.post("/cp/admin/trust-rules", rule).await
    }

    /// The trust rules, newest first.
    #[must_use]
    pub fn trust_rules(&self, filters: &TrustRuleFilters) -> Items<TrustRule> {
        self.0.items("/cp/admin/trust-rules", filters)
    }

    /// One trust rule.
    ///
    /// # Errors
    /// As for any call.
    pub async fn trust_rule(&self, id: TrustRuleId) -> Result<TrustRule, Error> {
        self.0.get(format!("/cp/admin/trust-rules/{id}")).await
    }

    /// Changes a trust rule.
    ///
    /// # Errors
    /// As for any call.
    pub async fn change_trust_rule(
        &self,
        id: TrustRuleId,
        changes: &TrustRuleChanges,
    ) -> Result<TrustRule, Error> {
        let path = format!("/cp/admin/trust-rules/{id}");
        self.change(Method::PATCH, path, changes).await
    }

    /// Deletes a trust rule; the keys that it has made end.
    ///
    /// # Errors
    /// As for any call.
    pub async fn delete_trust_rule(&self, id: TrustRuleId) -> Result<(), Error> {
        let path = format!("/cp/admin/trust-rules/{id}");
        self.0.request(Method::DELETE, path).send().await?.done()
    }

    /// The orgs of all partners, newest first.
    #[must_use]
    pub fn orgs(&self, filters: &OrgFilters) -> Items<Org> {
        self.0.items("/cp/admin/orgs", filters)
    }

    /// One org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn org(&self, id: OrgId) -> Result<Org, Error> {
        self.0.get(format!("/cp/admin/orgs/{id}")).await
    }

    /// Suspends an org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn suspend_org(&self, id: OrgId) -> Result<Org, Error> {
        self.0
            .post(&format!("/cp/admin/orgs/{id}/suspend"), &json!({}))
            .await
    }

    /// Resumes a suspended org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn resume_org(&self, id: OrgId) -> Result<Org, Error> {
        self.0
            .post(&format!("/cp/admin/orgs/{id}/resume"), &json!({}))
            .await
    }

    /// Tries again to make an org that failed.
    ///
    /// # Errors
    /// As for any call.
    pub async fn retry_org(&self, id: OrgId) -> Result<Org, Error> {
        self.0
            .post(&format!("/cp/admin/orgs/{id}/retry"), &json!({}))
            .await
    }

    /// Sets the subscription of an org.
    ///
    /// # Errors
    /// As for any call.
    pub async fn set_billing(&self, id: OrgId, billing: &NewBilling) -> Result<Billing, Error> {
        self.change(
            Method::PUT,
            format!("/cp/admin/orgs/{id}/subscription"),
            billing,
        )
        .await
    }

    /// All audit events, newest first.
    #[must_use]
    pub fn audit_events(&self, filters: &EventFilters) -> Items<AuditEvent> {
        self.0.items("/cp/admin/audit-events", filters)
    }

    /// One audit event.
    ///
    /// # Errors
    /// As for any call.
    pub async fn audit_event(&self, id: EventId) -> Result<AuditEvent, Error> {
        self.0.get(format!("/cp/admin/audit-events/{id}")).await
    }

    /// The instances of the server.
    #[must_use]
    pub fn instances(&self) -> Items<Instance> {
        self.0.items("/cp/admin/instances", &json!({}))
    }

    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self.0.request(method, path).json(body)?;
        request.send().await?.json()
    }
}
