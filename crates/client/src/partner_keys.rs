//! What a partner key may do with its partner's keys.

use api::{
    ErrorCode,
    client::{IssuedPartnerKey, KeyFilters, KeyRevocation, NewRotation, PartnerKey},
};
use ids::KeyId;
use reqwest::Method;
use serde_json::json;

use crate::{error::Error, pages::Items, request::Client};

impl Client {
    /// The partner's keys, newest first.
    #[must_use]
    pub fn keys(&self, filters: &KeyFilters) -> Items<PartnerKey> {
        self.items("/cp/admin/partner-keys", filters)
    }

    /// One key: a partner key reads itself alone.
    ///
    /// # Errors
    /// As for any call.
    pub async fn key(&self, id: KeyId) -> Result<PartnerKey, Error> {
        self.get(format!("/cp/admin/partner-keys/{id}")).await
    }

    /// Gives a key another secret, which is shown this once: a partner key rotates itself alone.
    ///
    /// # Errors
    /// As for any call.
    pub async fn rotate_key(
        &self,
        id: KeyId,
        rotation: &NewRotation,
    ) -> Result<IssuedPartnerKey, Error> {
        let path = format!("/cp/admin/partner-keys/{id}/rotate");
        self.post(&path, rotation).await
    }

    /// Ends the older secret of a key that is being rotated.
    ///
    /// # Errors
    /// As for any call.
    pub async fn finish_key_rotation(&self, id: KeyId) -> Result<PartnerKey, Error> {
        let path = format!("/cp/admin/partner-keys/{id}/rotate/finish");
        self.post(&path, &json!({})).await
    }

    /// Ends the newest secret of a key that is being rotated.
    ///
    /// # Errors
    /// As for any call.
    pub async fn cancel_key_rotation(&self, id: KeyId) -> Result<PartnerKey, Error> {
        let path = format!("/cp/admin/partner-keys/{id}/rotate/cancel");
        self.post(&path, &json!({})).await
    }

    /// Revokes a key: a partner key revokes itself alone.
    ///
    /// # Errors
    /// As for any call.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), Error> {
        self.revoke_key_as(id, &KeyRevocation::default()).await
    }

    /// Revokes a key, and says why.
    ///
    /// # Errors
    /// As for any call.
    pub async fn revoke_key_as(&self, id: KeyId, revocation: &KeyRevocation) -> Result<(), Error> {
        let request = self.request(Method::DELETE, format!("/cp/admin/partner-keys/{id}"));
        // A server before reasons takes a revocation without one.
        let request = match revocation.reason {
            Some(_) => request.json(revocation)?,
            None => request,
        };
        match request.send().await {
            Ok(answer) => answer.done(),
            // The answer to an earlier try was lost: this key has revoked itself.
            Err(Error::Refused(refusal))
                if refusal.attempts > 1 && refusal.problem.code == ErrorCode::KeyRevoked =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
