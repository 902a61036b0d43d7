//! How messages are tried: by the schedule, at least once, and no more after they were taken.

use std::sync::Arc;

use ids::{EndpointId, EventId, TypedId as _, Ulid};
use service::operations;
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;
use webhooks::{AttemptOutcome, DeliveryStatus, Lease, OutgoingMessage, SendOutcome, Sender};

use super::{Control, Scene, delivery_body, kind, verified};

/// Ten tries, at the pauses of the schedule, and none before its time.
#[tokio::test]
async fn while_the_receiver_is_down_messages_keep_to_the_schedule_and_none_is_lost() {
    let scene = Scene::new().await;
    scene.org("acme-one").await;
    scene.receiver.answers(&[503; 9]);
    let mut ids = Vec::new();
    for pause in [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] {
        assert_eq!(scene.deliver().await, 1);
        ids.extend(scene.receiver.taken().into_iter().map(|posting| posting.id));
        assert_eq!(scene.deliver().await, 0, "not before its time");
        scene
            .bench
            .clock
            .advance(Duration::seconds(pause) - Duration::MICROSECOND);
        assert_eq!(scene.deliver().await, 0, "not a moment too early");
        // The pause is stretched by a tenth at the most.
        scene
            .bench
            .clock
            .advance(Duration::seconds(pause) / 10 + Duration::MICROSECOND);
    }
    assert_eq!(scene.deliver().await, 1, "the tenth try is taken");
    let last = scene.receiver.taken();
    assert!(
        verified(&last[0], &scene.secret, scene.bench.clock.now()),
        "signed anew"
    );
    ids.extend(last.into_iter().map(|posting| posting.id));
    assert_eq!(ids.len(), 10);
    ids.dedup();
    assert_eq!(ids.len(), 1, "one message, one id");
    let delivery = scene.deliveries().await.remove(0);
    assert_eq!(
        (delivery.status, delivery.attempts),
        (DeliveryStatus::Delivered, 10)
    );
    scene.bench.clock.advance(Duration::days(3));
    assert_eq!(
        scene.deliver().await,
        0,
        "what has arrived is not sent again"
    );
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_every_message_once() {
    let scene = Scene::new().await;
    scene.receiver.answers(&[500; 7]);
    for n in 0..7 {
        scene.org(&format!("acme-{n}")).await;
    }
    scene.deliver().await;
    assert_eq!(scene.receiver.taken().len(), 7);
    scene.bench.clock.advance(Duration::seconds(6));
    while scene.deliver().await > 0 {}
    let mut got: Vec<String> = scene.receiver.taken().into_iter().map(|it| it.id).collect();
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 7);
    scene.bench.clock.advance(Duration::days(4));
    assert_eq!(scene.deliver().await, 0);
    let counts: Vec<_> = scene
        .bench
        .service
        .delivery_attempts()
        .map(|(_, count)| count)
        .collect();
    assert_eq!(counts, [7, 7, 0, 0], "{:?}", AttemptOutcome::ALL);
}

#[tokio::test]
async fn after_the_last_try_a_message_has_failed_and_can_be_asked_for_again() {
    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    scene.receiver.answers(&[500; 10]);
    for _ in 0..10 {
        assert_eq!(scene.deliver().await, 1);
        scene.bench.clock.advance(Duration::hours(27));
    }
    let failed = scene.deliveries().await.remove(0);
    assert_eq!(failed.status, DeliveryStatus::Failed);
    assert_eq!(failed.last_answer.unwrap().status_code, Some(500));
    assert_eq!(scene.deliver().await, 0);
    let first = scene.receiver.taken().remove(0);

    let bench = &scene.bench;
    let context = bench
        .authenticate(&scene.key, operations::DELIVERY_REDELIVER)
        .await
        .unwrap();
    let again =
        bench
            .service
            .delivery_redeliver(&context, scene.endpoint, failed.id, delivery_body);
    again.await.unwrap();
    assert_eq!(scene.deliver().await, 1);
    let again = scene.receiver.taken().remove(0);
    assert_eq!((&again.id, &again.body), (&first.id, &first.body));
    assert_eq!(
        scene.deliveries().await[0].status,
        DeliveryStatus::Delivered
    );
}

#[tokio::test]
async fn gone_disables_the_endpoint_until_it_takes_a_test() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    for slug in ["acme-one", "acme-two", "acme-three"] {
        scene.org(slug).await;
    }
    // The first is put off, the second meets a receiver that is gone, the third is not sent at all.
    scene.receiver.answers(&[500, 410]);
    scene.deliver().await;
    assert_eq!(scene.receiver.taken().len(), 2);
    assert!(scene.stored().await.disabled_at.is_some());
    let deliveries = scene.deliveries().await;
    assert!(
        deliveries
            .iter()
            .all(|it| it.status == DeliveryStatus::Failed),
        "{deliveries:?}"
    );
    scene.receiver.taken();
    scene.org("acme-four").await;
    assert_eq!(scene.deliver().await, 0, "nobody listens any more");
    let count = |action: &'static str| async move {
        let actions = bench.actions().await;
        actions.iter().filter(|&&actual| actual == action).count()
    };
    assert_eq!(count("webhook.disabled").await, 1);

    let context = bench
        .authenticate(&scene.key, operations::WEBHOOK_TEST)
        .await
        .unwrap();
    let test = bench
        .service
        .webhook_test(&context, scene.endpoint, delivery_body);
    test.await.unwrap();
    scene.deliver().await;
    assert_eq!(kind(&scene.receiver.taken()[0]), "webhook.test");
    assert_eq!(scene.stored().await.disabled_at, None);
    assert_eq!(count("webhook.enabled").await, 1);
    scene.org("acme-five").await;
    assert_eq!(scene.deliver().await, 1);
}

#[tokio::test]
async fn a_worker_that_has_lost_its_lease_writes_nothing_and_the_message_is_sent_again() {
    /// A receiver that answers only after another worker has taken the endpoint.
    struct Slow(Control, EndpointId);

    impl Sender for Slow {
        async fn send(&self, _posting: OutgoingMessage) -> SendOutcome {
            self.0.clock.advance(Duration::seconds(11));
            let (now, id) = (self.0.clock.now(), self.1);
            let lease = Lease {
                token: EventId::from_ulid(Ulid::from(9)).ulid(),
                until: now + Duration::seconds(10),
            };
            let taken = self
                .0
                .db
                .write(move |tx| tx.endpoints_lease(&[id], now, lease));
            let taken: Result<_, StoreError> = taken.await;
            assert_eq!(taken.unwrap(), [id]);
            SendOutcome::Response {
                status_code: 200,
                body: String::new(),
            }
        }
    }

    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    let (db, clock, service) = (
        scene.bench.db.clone(),
        scene.bench.clock.clone(),
        Arc::clone(&scene.bench.service),
    );
    let admin = scene.bench.admin.clone();
    let slow = Control {
        service: Arc::clone(&service),
        db,
        clock,
        admin,
    };
    let slow = Arc::new(Slow(slow, scene.endpoint));
    service.deliver_due(&slow).await.unwrap();
    let delivery = scene.deliveries().await.remove(0);
    assert_eq!(
        (delivery.status, delivery.attempts),
        (DeliveryStatus::Pending, 0)
    );
    assert_eq!(scene.deliver().await, 0, "the other worker has it");
    scene.bench.clock.advance(Duration::seconds(10));
    assert_eq!(scene.deliver().await, 1, "and has lost it in its turn");
    assert_eq!(
        scene.deliveries().await[0].status,
        DeliveryStatus::Delivered
    );
}

/// Nobody can tell then that the message has arrived; but its receiver is not flooded with it.
#[tokio::test]
async fn an_attempt_that_can_not_be_stored_is_repeated_when_the_lease_ends() {
    /// A receiver during whose answer the database goes away.
    struct Unlucky(
        testkit::memory::MemoryDatabase,
        std::sync::atomic::AtomicUsize,
    );

    impl Sender for Unlucky {
        async fn send(&self, _posting: OutgoingMessage) -> SendOutcome {
            self.0.fail_writes(true);
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            SendOutcome::Response {
                status_code: 200,
                body: String::new(),
            }
        }
    }

    let scene = Scene::new().await;
    scene.org("acme-corp").await;
    let unlucky = Arc::new(Unlucky(scene.bench.db.clone(), 0.into()));
    scene.bench.service.deliver_due(&unlucky).await.unwrap();
    assert_eq!(unlucky.1.load(std::sync::atomic::Ordering::SeqCst), 1);
    scene.bench.db.fail_writes(false);
    assert_eq!(scene.deliver().await, 0, "it is still leased");
    scene.bench.clock.advance(Duration::seconds(10));
    assert_eq!(scene.deliver().await, 1);
    let delivery = scene.deliveries().await.remove(0);
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
}
