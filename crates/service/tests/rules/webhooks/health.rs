//! Endpoints that are paused, or disabled because nothing was delivered, and what they have missed.

use ids::Change;
use service::{Rendered, operations};
use time::{Duration, OffsetDateTime};
use webhooks::{DeliveryStatus, DisabledReason, EndpointChanges, EventKind};

use super::{Scene, create, delivery_body, kind};

impl Scene {
    async fn enable(&self, enabled: bool) {
        let context = self
            .bench
            .authenticate(&self.key, operations::WEBHOOK_UPDATE);
        let context = context.await.unwrap();
        let changes = EndpointChanges {
            enabled: Change::Set(enabled),
            ..EndpointChanges::default()
        };
        let changed = self
            .bench
            .service
            .webhook_update(&context, self.endpoint, changes);
        changed.await.unwrap();
    }

    async fn redeliver(&self, since: OffsetDateTime, until: Option<OffsetDateTime>) -> String {
        let operation = operations::DELIVERIES_REDELIVER;
        let context = self.bench.authenticate(&self.key, operation).await.unwrap();
        let count = |count: &usize| Rendered::new(count.to_string());
        let service = &self.bench.service;
        let created = (since, until);
        let answer = service.deliveries_redeliver(&context, self.endpoint, created, count);
        answer.await.unwrap().value.body
    }

    async fn test(&self) {
        let context = self.bench.authenticate(&self.key, operations::WEBHOOK_TEST);
        let context = context.await.unwrap();
        let test = self
            .bench
            .service
            .webhook_test(&context, self.endpoint, delivery_body);
        test.await.unwrap();
    }

    async fn statuses(&self) -> Vec<DeliveryStatus> {
        self.deliveries().await.iter().map(|it| it.status).collect()
    }
}

#[tokio::test]
async fn an_endpoint_to_which_nothing_was_delivered_for_a_day_is_disabled() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    for n in 0..24 {
        scene.org(&format!("acme-{n}")).await;
    }
    scene.receiver.answers(&[500; 1000]);
    let began = bench.clock.now();
    let mut attempts = 0;
    // Every message is tried at 0, 5 s, 5 min, half an hour, 2, 7, 17 and 31 hours.
    while bench.clock.now() < began + Duration::hours(24) {
        while scene.deliver().await > 0 {}
        attempts += scene.receiver.taken().len();
        assert_eq!(
            scene.stored().await.disabled_at,
            None,
            "after {attempts} attempts"
        );
        bench.clock.advance(Duration::minutes(10));
    }
    assert!(attempts >= 100, "{attempts}");
    // Another one of the partner's learns of it, whatever it listens to.
    let (other, _) = create(bench, &scene.key, &[EventKind::KeyRevoked])
        .await
        .unwrap();
    bench.clock.advance(Duration::hours(12));
    scene.deliver().await;
    let endpoint = scene.stored().await;
    assert_eq!(endpoint.disabled_reason, Some(DisabledReason::Failing));
    assert!(
        scene
            .statuses()
            .await
            .iter()
            .all(|it| *it == DeliveryStatus::Failed)
    );
    let given_up = scene.deliveries().await.pop().unwrap().last_answer.unwrap();
    assert!(given_up.error.unwrap().contains("disabled"));
    let actions = bench.actions().await;
    assert_eq!(
        actions
            .iter()
            .filter(|it| **it == "webhook.disabled")
            .count(),
        1
    );
    scene.receiver.taken();
    scene.receiver.answers.lock().unwrap().clear();
    scene.deliver().await;
    let told = scene.receiver.taken();
    assert_eq!(told.len(), 1);
    assert_eq!(kind(&told[0]), "webhook.disabled");
    let about = scene.endpoint.to_string();
    assert!(
        told[0].body.contains(&about) && told[0].body.contains("failing"),
        "{}",
        told[0].body
    );
    assert_ne!(other, scene.endpoint);

    // What it has missed comes once it is enabled and asked for.
    scene.enable(true).await;
    assert_eq!(scene.deliver().await, 0);
    assert_eq!(scene.redeliver(began, None).await, "24");
    while scene.deliver().await > 0 {}
    assert_eq!(scene.receiver.taken().len(), 24);
    assert_eq!(scene.redeliver(began, None).await, "0");
}

#[tokio::test]
async fn one_delivery_in_a_day_keeps_an_endpoint_alive() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    for n in 0..24 {
        scene.org(&format!("acme-{n}")).await;
    }
    let began = bench.clock.now();
    while bench.clock.now() < began + Duration::hours(40) {
        scene.receiver.answers.lock().unwrap().clear();
        scene.receiver.answers(&[500; 300]);
        if bench.clock.now() == began + Duration::hours(12) {
            scene.receiver.answers.lock().unwrap().clear();
            scene.test().await;
        }
        while scene.deliver().await > 0 {}
        bench.clock.advance(Duration::minutes(10));
    }
    assert_eq!(scene.stored().await.disabled_at, None);
}

#[tokio::test]
async fn a_paused_endpoint_gets_what_is_asked_for_alone_and_stays_paused() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let began = bench.clock.now();
    scene.receiver.answers(&[500]);
    scene.org("acme-one").await;
    scene.deliver().await;
    scene.org("acme-two").await;
    scene.receiver.taken();
    scene.enable(false).await;
    assert_eq!(
        scene.stored().await.disabled_reason,
        Some(DisabledReason::Paused)
    );
    scene.org("acme-three").await;
    bench.clock.advance(Duration::HOUR);
    assert_eq!(scene.deliver().await, 0);
    assert_eq!(scene.statuses().await, [DeliveryStatus::Failed; 2]);

    scene.test().await;
    scene.deliver().await;
    assert_eq!(kind(&scene.receiver.taken()[0]), "webhook.test");
    assert_eq!(
        scene.stored().await.disabled_reason,
        Some(DisabledReason::Paused)
    );
    assert_eq!(
        bench
            .actions()
            .await
            .iter()
            .filter(|it| **it == "webhook.enabled")
            .count(),
        0
    );

    scene.enable(true).await;
    assert_eq!(scene.stored().await.disabled_reason, None);
    let later = bench.clock.now() - Duration::MINUTE;
    assert_eq!(scene.redeliver(later, None).await, "0");
    assert_eq!(scene.redeliver(began, Some(began)).await, "0");
    assert_eq!(scene.redeliver(began, Some(later)).await, "2");
    while scene.deliver().await > 0 {}
    assert_eq!(scene.receiver.taken().len(), 2);
}

#[tokio::test]
async fn a_long_backlog_of_a_paused_endpoint_is_given_up_without_being_sent() {
    let scene = Scene::new().await;
    for n in 0..300 {
        scene
            .bench
            .create_org(&scene.key, &format!("acme-{n}"))
            .await
            .unwrap();
    }
    while scene.bench.service.reconcile_due().await.unwrap() > 0 {}
    scene.enable(false).await;
    let pending = |all: &[DeliveryStatus]| {
        all.iter()
            .filter(|it| **it == DeliveryStatus::Pending)
            .count()
    };
    assert_eq!(pending(&scene.statuses().await), 100);
    scene.deliver().await;
    assert_eq!(pending(&scene.statuses().await), 0);
    assert!(scene.receiver.taken().is_empty());
}
