//! What a partner key may do with its partner's keys.

use api::{
    ErrorCode,
    client::{KeyFilters, PartnerKey},
};
use ids::KeyId;
use reqwest::Method;

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

    /// Revokes a key: a partner key revokes itself alone.
    ///
    /// # Errors
    /// As for any call.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), Error> {
        let path = format!("/cp/admin/partner-keys/{id}");
        match self.request(Method::DELETE, path).send().await {
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
