//! No partner's background work holds up another's.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration as StdDuration,
};

use ids::{DeliveryId, PartnerId, TypedId as _, Ulid};
use keys::PlainKey;
use orgs::{OrgStatus, ProvisionError, ProvisionOutput, ProvisionRequest, Provisioner, StopReason};
use service::{Next, operations};
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use webhooks::{
    Delivery, DeliveryStatus, EventKind, MAX_BACKLOG, OutgoingMessage, SendOutcome, Sender,
};

use crate::{
    kit::{Bench, bench, bench_with},
    webhooks::{Scene, create},
};

/// Asks until it is so, while tasks go on.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        sleep(StdDuration::from_millis(1)).await;
    }
    panic!("it is not so: {what}");
}

async fn partner<P: Provisioner>(bench: &Bench<P>, key: &PlainKey) -> PartnerId {
    let context = bench.authenticate(key, operations::WHOAMI).await.unwrap();
    context.caller.actor().partner_id().unwrap()
}

/// A receiver that never answers some partners' messages.
#[derive(Default)]
struct Silent {
    silent: Mutex<Vec<PartnerId>>,
    got: Mutex<Vec<PartnerId>>,
}

impl Silent {
    fn count(&self, partners: &[PartnerId]) -> usize {
        let got = self.got.lock().unwrap();
        got.iter().filter(|it| partners.contains(it)).count()
    }
}

impl Sender for Silent {
    async fn send(&self, posting: OutgoingMessage) -> SendOutcome {
        self.got.lock().unwrap().push(posting.partner_id);
        if self.silent.lock().unwrap().contains(&posting.partner_id) {
            pending::<()>().await;
        }
        SendOutcome::Response {
            status_code: 200,
            body: String::new(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_partner_do_not_wait_for_receivers_of_others_that_never_answer() {
    let bench = bench().await;
    let sender = Arc::new(Silent::default());
    let mut silent = Vec::new();
    for n in 0..4 {
        let (_, key) = bench.key(None).await;
        silent.push(partner(&bench, &key).await);
        for _ in 0..16 {
            create(&bench, &key, &[EventKind::OrgReady]).await.unwrap();
        }
        for m in 0..5 {
            bench
                .create_org(&key, &format!("silent-{n}-{m}"))
                .await
                .unwrap();
        }
    }
    bench.service.reconcile_due().await.unwrap();
    sender.silent.lock().unwrap().clone_from(&silent);
    let stop = CancellationToken::new();
    let work = Arc::clone(&bench.service).deliver(Arc::clone(&sender), stop.clone());
    let work = tokio::spawn(work);
    until("the silent ones have their share", || {
        sender.count(&silent) == 4 * 8 * 2
    })
    .await;
    assert_eq!(bench.service.deferred_endpoints().partner_share, 4 * 8);

    let (_, key) = bench.key(None).await;
    create(&bench, &key, &[EventKind::OrgReady]).await.unwrap();
    let good = [partner(&bench, &key).await];
    for n in 0..20 {
        bench.create_org(&key, &format!("good-{n}")).await.unwrap();
    }
    bench.service.reconcile_due().await.unwrap();
    let began = Instant::now();
    until("all messages have come", || sender.count(&good) == 20).await;
    assert!(
        began.elapsed() < StdDuration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    // From the first time-out on the silent ones share a few slots.
    sleep(StdDuration::from_secs(100)).await;
    let before = sender.count(&silent);
    sleep(StdDuration::from_secs(20)).await;
    let more = sender.count(&silent) - before;
    assert!(more <= 4 * 2 * 2 * 2, "{more} attempts in the time of one");
    stop.cancel();
    work.await.unwrap();
}

/// Makes orgs when it is let, four at once, and notes whose they are.
#[derive(Clone)]
struct Noting {
    began: Arc<Mutex<Vec<PartnerId>>>,
    gate: Arc<Semaphore>,
}

impl Noting {
    fn new() -> Self {
        Self {
            began: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn began(&self) -> Vec<PartnerId> {
        self.began.lock().unwrap().clone()
    }
}

impl Provisioner for Noting {
    async fn run(
        &self,
        request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        self.began.lock().unwrap().push(request.org.partner_id);
        self.gate.acquire().await.unwrap().forget();
        Ok(ProvisionOutput::default())
    }

    fn max_concurrency(&self) -> usize {
        4
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_free_slot_is_for_a_partner_that_has_none() {
    let noting = Noting::new();
    let bench = bench_with(noting.clone()).await;
    let (_, many) = bench.key(None).await;
    for n in 0..40 {
        bench.create_org(&many, &format!("many-{n}")).await.unwrap();
    }
    let stop = CancellationToken::new();
    let work = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
    until("whoever is alone has all slots", || {
        noting.began().len() == 4
    })
    .await;

    let (_, few) = bench.key(None).await;
    let own = partner(&bench, &few).await;
    for n in 0..2 {
        bench.create_org(&few, &format!("few-{n}")).await.unwrap();
        // While nothing is free, more of the first partner's come.
        bench.create_org(&many, &format!("more-{n}")).await.unwrap();
    }
    noting.gate.add_permits(1);
    until("a slot is free", || noting.began().len() == 5).await;
    assert_eq!(noting.began().last(), Some(&own));
    noting.gate.add_permits(1);
    until("another slot is free", || noting.began().len() == 6).await;
    assert_eq!(noting.began().last(), Some(&own));
    noting.gate.add_permits(100);
    until("all are made", || noting.began().len() == 44).await;
    stop.cancel();
    work.await.unwrap();
}

#[tokio::test]
async fn an_overlong_backlog_drops_its_oldest_messages_and_records_it() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    let (partner, endpoint) = (scene.partner().await, scene.endpoint);
    let now = bench.clock.now();
    let total = MAX_BACKLOG + 250;
    let add = move |tx: &mut testkit::memory::MemoryTx| {
        for n in 0..total {
            let id = DeliveryId::from_ulid(Ulid::from(u128::try_from(n).unwrap() + 1));
            let due = now + Duration::microseconds(i64::try_from(n).unwrap());
            let to = (endpoint, partner);
            let mut delivery = Delivery::new(id, to, EventKind::OrgReady, "{}".to_owned(), now);
            delivery.due_at = Some(due);
            tx.delivery_insert(&delivery)?;
        }
        Ok::<_, StoreError>(())
    };
    bench.db.write(add).await.unwrap();
    while bench.service.trim_backlogs().await.unwrap() != Next::Idle {}
    assert_eq!(bench.service.overflowed_deliveries(), 250);
    let page = ids::PageRequest::new(total, None).with_budget(total.saturating_add(1));
    let read = bench
        .db
        .read(move |view| webhooks::DeliveryQueries::deliveries(view, (partner, endpoint), page));
    let mut all = read.await.map_err(|error: StoreError| error).unwrap().items;
    all.reverse();
    let failed = |it: &Delivery| it.status == DeliveryStatus::Failed;
    assert!(all[..250].iter().all(failed));
    assert!(!all[250..].iter().any(failed));
    let error = all[0].last_answer.as_ref().unwrap().error.clone().unwrap();
    assert!(error.contains("more than 10000 messages waited"), "{error}");
    let events = bench.events().await;
    let actual = events
        .iter()
        .filter(|it| it.action.as_str() == "webhook.overflowed");
    let counts = actual.map(|it| it.details["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 250);
    assert_eq!(bench.service.trim_backlogs().await.unwrap(), Next::Idle);
}

/// Without that, a message would wait for its five seconds and a day.
#[tokio::test]
async fn what_waits_is_not_a_day_late_when_the_clock_is_set_back_by_a_day() {
    let scene = Scene::new().await;
    let bench = &scene.bench;
    scene.org("acme-corp").await;
    scene.receiver.answers(&[500]);
    assert_eq!(scene.deliver().await, 1);
    assert_eq!(
        bench.service.recover_from_clock_step().await.unwrap(),
        0,
        "it may wait"
    );
    let late = bench.create_org(&scene.key, "acme-late").await.unwrap();
    bench.clock.set_back(Duration::DAY);
    assert_eq!(scene.deliver().await, 0);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 0);
    assert_eq!(bench.service.recover_from_clock_step().await.unwrap(), 2);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    assert_eq!(bench.org(late).await.status, OrgStatus::Ready);
    while scene.deliver().await > 0 {}
    let deliveries = scene.deliveries().await;
    assert_eq!(deliveries.len(), 2);
    for delivery in deliveries {
        assert_eq!(delivery.status, DeliveryStatus::Delivered);
    }
}

#[tokio::test]
async fn a_revoked_key_with_many_orgs_does_not_hold_up_another() {
    let bench = bench().await;
    let mut ids = Vec::new();
    for (name, count) in [("many", 350), ("few", 1)] {
        let draft = keys::KeyDraft {
            on_revoke: keys::OnRevoke::Delete,
            ..bench.key_draft(None)
        };
        let (id, key) = bench.key_by(draft).await;
        for n in 0..count {
            ids.push(
                bench
                    .create_org(&key, &format!("{name}-{n}"))
                    .await
                    .unwrap(),
            );
        }
        bench.revoke(id).await;
        bench.clock.advance(Duration::MILLISECOND);
    }
    let last = *ids.last().unwrap();
    for _ in 0..2 {
        assert!(bench.service.expire_orgs_due().await.unwrap() > 0);
        bench.clock.advance(Duration::MILLISECOND);
    }
    assert_eq!(bench.org(last).await.status, OrgStatus::Deprovisioning);
    while bench.service.expire_orgs_due().await.unwrap() > 0 {
        bench.clock.advance(Duration::MILLISECOND);
    }
    for id in ids {
        assert_eq!(bench.org(id).await.status, OrgStatus::Deprovisioning);
    }
}
