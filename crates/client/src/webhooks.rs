//! Webhook endpoints and deliveries.

use api::client::{
    IssuedWebhookEndpoint, NewWebhookEndpoint, Redelivery, RedeliveryCount, Time, WebhookDelivery,
    WebhookEndpoint, WebhookEndpointChanges,
};
use ids::{DeliveryId, EndpointId};
use reqwest::Method;
use serde_json::json;

use crate::{error::Error, pages::Items, request::Client};

impl Client {
    /// Creates a webhook endpoint; its secret is shown this once.
    ///
    /// # Errors
    /// As for any call.
    pub async fn create_webhook(
        &self,
        endpoint: &NewWebhookEndpoint,
    ) -> Result<IssuedWebhookEndpoint, Error> {
        self.post("/cp/webhook-endpoints", endpoint).await
    }

    /// The partner's webhook endpoints, newest first.
    #[must_use]
    pub fn webhooks(&self) -> Items<WebhookEndpoint> {
        self.items("/cp/webhook-endpoints", &json!({}))
    }

    /// One webhook endpoint.
    ///
    /// # Errors
    /// As for any call.
    pub async fn webhook(&self, id: EndpointId) -> Result<WebhookEndpoint, Error> {
        self.get(format!("/cp/webhook-endpoints/{id}")).await
    }

    /// Changes a webhook endpoint, pauses it or enables it again; what is `None` stays as it is.
    ///
    /// # Errors
    /// As for any call.
    pub async fn change_webhook(
        &self,
        id: EndpointId,
        changes: &WebhookEndpointChanges,
    ) -> Result<WebhookEndpoint, Error> {
        let request = self.request(Method::PATCH, format!("/cp/webhook-endpoints/{id}"));
        request.json(changes)?.send().await?.json()
    }

    /// Deletes a webhook endpoint.
    ///
    /// # Errors
    /// As for any call.
    pub async fn delete_webhook(&self, id: EndpointId) -> Result<(), Error> {
        let path = format!("/cp/webhook-endpoints/{id}");
        self.request(Method::DELETE, path).send().await?.done()
    }

    /// Gives an endpoint a new secret, shown this once.
    ///
    /// # Errors
    /// As for any call.
    pub async fn rotate_webhook_secret(
        &self,
        id: EndpointId,
    ) -> Result<IssuedWebhookEndpoint, Error> {
        self.post(
            &format!("/cp/webhook-endpoints/{id}/rotate-secret"),
            &json!({}),
        )
        .await
    }

    /// Sends a test message to an endpoint.
    ///
    /// # Errors
    /// As for any call.
    pub async fn test_webhook(&self, id: EndpointId) -> Result<WebhookDelivery, Error> {
        self.post(&format!("/cp/webhook-endpoints/{id}/test"), &json!({}))
            .await
    }

    /// The deliveries to an endpoint, newest first.
    #[must_use]
    pub fn webhook_deliveries(&self, id: EndpointId) -> Items<WebhookDelivery> {
        self.items(
            &format!("/cp/webhook-endpoints/{id}/deliveries"),
            &json!({}),
        )
    }

    /// Sends a message again.
    ///
    /// # Errors
    /// As for any call.
    pub async fn redeliver(
        &self,
        endpoint: EndpointId,
        delivery: DeliveryId,
    ) -> Result<WebhookDelivery, Error> {
        let path = format!("/cp/webhook-endpoints/{endpoint}/deliveries/{delivery}/redeliver");
        self.post(&path, &json!({})).await
    }

    /// Sends the messages again that failed between two times, 1000 at the most; says how many.
    ///
    /// # Errors
    /// As for any call.
    pub async fn redeliver_failed(
        &self,
        endpoint: EndpointId,
        since: Time,
        until: Option<Time>,
    ) -> Result<u64, Error> {
        let path = format!("/cp/webhook-endpoints/{endpoint}/redeliver");
        let asked = Redelivery {
            since,
            until,
            status: "failed".to_owned(),
        };
        let sent: RedeliveryCount = self.post(&path, &asked).await?;
        Ok(sent.count)
    }
}
