//! Endpoints that get another URL while a message is on its way to the old one.

use std::sync::Arc;

use ids::EndpointId;
use keys::PlainKey;
use service::operations;
use time::Duration;
use webhooks::{
    AddressPolicy, DeliveryStatus, EndpointChanges, EndpointUrl, OutgoingMessage, SendOutcome,
    Sender,
};

use super::{Control, Scene};

const NEW_URL: &str = "https://hooks.example.com/new";

/// A receiver that answers with a status only after its endpoint has got another URL.
struct Moving {
    bench: Control,
    key: PlainKey,
    endpoint: EndpointId,
    status_code: u16,
}

impl Sender for Moving {
    async fn send(&self, _posting: OutgoingMessage) -> SendOutcome {
        let context = self
            .bench
            .authenticate(&self.key, operations::WEBHOOK_UPDATE);
        let context = context.await.unwrap();
        let changes = EndpointChanges {
            url: Some(EndpointUrl::new(NEW_URL, AddressPolicy::Public).unwrap()),
            ..EndpointChanges::default()
        };
        let service = &self.bench.service;
        let changed = service.webhook_update(&context, self.endpoint, changes);
        changed.await.unwrap();
        SendOutcome::Response {
            status_code: self.status_code,
            body: String::new(),
        }
    }
}

impl Scene {
    /// Sends what is due to a receiver that answers so once its endpoint has moved.
    async fn deliver_while_moving(&self, status_code: u16) {
        let moving = Moving {
            bench: Control {
                service: Arc::clone(&self.bench.service),
                db: self.bench.db.clone(),
                clock: self.bench.clock.clone(),
                admin: self.bench.admin.clone(),
            },
            key: self.key.clone(),
            endpoint: self.endpoint,
            status_code,
        };
        let delivered = self.bench.service.deliver_due(&Arc::new(moving)).await;
        assert_eq!(delivered.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_from_the_old_url_does_not_disable_the_new_one() {
    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    scene.deliver_while_moving(410).await;
    let endpoint = scene.stored().await;
    assert_eq!((endpoint.disabled_at, endpoint.failures), (None, None));
    let delivery = scene.deliveries().await.remove(0);
    assert_eq!(delivery.status, DeliveryStatus::Pending);
    assert!(!scene.bench.actions().await.contains(&"webhook.disabled"));

    scene.bench.clock.advance(Duration::seconds(6));
    assert_eq!(scene.deliver().await, 1);
    let taken = scene.receiver.taken();
    assert_eq!(taken[0].url.as_str(), NEW_URL);
    let delivery = scene.deliveries().await.remove(0);
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn a_failure_at_the_old_url_does_not_count_for_the_new_one() {
    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    scene.deliver_while_moving(500).await;
    assert_eq!(scene.stored().await.failures, None);
    // The same answer of the receiver at the new one counts.
    scene.receiver.answers(&[500]);
    scene.bench.clock.advance(Duration::seconds(6));
    assert_eq!(scene.deliver().await, 1);
    let failures = scene.stored().await.failures.unwrap();
    assert_eq!(failures.attempts, 1);
}
