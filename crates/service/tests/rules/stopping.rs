//! Work on orgs that is told to stop, and orgs that are worked on side by side.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration as StdDuration,
};

use orgs::{
    ChangeKind, Failure, OrgConfig, OrgOptions, OrgStatus, ProvisionError, ProvisionOutput,
    ProvisionRequest, Provisioner, StepName, StepStatus, StopReason, Verb,
};
use stores::{Database as _, prelude::*};
use testkit::build;
use time::Duration;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::kit::{Bench, bench_with};

/// Does one thing to the orgs whose slug begins with `slow` only when it is told to stop, all else at once.
#[derive(Clone)]
struct Slow {
    verb: Verb,
    entered: Arc<Semaphore>,
    reasons: Arc<Mutex<Vec<StopReason>>>,
    at_once: usize,
}

fn slow(at_once: usize) -> Slow {
    Slow {
        verb: Verb::Provision,
        entered: Arc::new(Semaphore::new(0)),
        reasons: Arc::default(),
        at_once,
    }
}

impl Provisioner for Slow {
    async fn run(
        &self,
        request: &ProvisionRequest,
        stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        let is_slow = request.org.slug.as_str().starts_with("slow");
        if request.verb != self.verb || !is_slow {
            return Ok(ProvisionOutput::default());
        }
        self.entered.add_permits(1);
        let stop = stop.await;
        self.reasons.lock().unwrap().push(stop);
        Err(ProvisionError::Interrupted)
    }

    fn max_concurrency(&self) -> usize {
        self.at_once
    }
}

impl Slow {
    async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    fn reasons(&self) -> Vec<StopReason> {
        self.reasons.lock().unwrap().clone()
    }
}

async fn ready<P: Provisioner>(bench: &Bench<P>, id: ids::OrgId) {
    let patience = Instant::now() + StdDuration::from_secs(10);
    while bench.org(id).await.status != OrgStatus::Ready {
        assert!(Instant::now() < patience, "{:?}", bench.org(id).await);
        sleep(StdDuration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deletion_stops_the_provisioning_and_then_deprovisions() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    let service = Arc::clone(&bench.service);
    let working = tokio::spawn(async move { service.reconcile_due().await });
    slow.entered().await;
    bench.delete_org(&key, id).await;
    working.await.unwrap().unwrap();
    assert_eq!(slow.reasons(), [StopReason::Deletion]);
    let steps = bench.steps(id).await;
    assert_eq!(steps.first().unwrap().status, StepStatus::Failed);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
}

/// Nobody is left to say how it went on.
#[tokio::test]
async fn a_step_whose_worker_has_vanished_has_failed_once_the_org_is_deleted() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    let service = Arc::clone(&bench.service);
    let working = tokio::spawn(async move { service.reconcile_due().await });
    slow.entered().await;
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
    let steps = bench.steps(id).await;
    assert_eq!(steps.first().unwrap().status, StepStatus::Running);
    bench.delete_org(&key, id).await;
    bench.clock.advance(Duration::seconds(11));
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
    let steps = bench.steps(id).await;
    let made = steps.first().unwrap();
    assert_eq!(
        (made.name, made.status),
        (StepName::Provision, StepStatus::Failed)
    );
    assert!(made.finished_at.is_some());
}

#[tokio::test]
async fn a_deletion_stops_an_update_and_then_deprovisions_the_org_as_it_was() {
    let slow = Slow {
        verb: Verb::Update,
        ..slow(4)
    };
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    let update = OrgConfig {
        plan: build::plan("free"),
        options: OrgOptions::default(),
    };
    bench.change(id, ChangeKind::Update(update)).await;
    let service = Arc::clone(&bench.service);
    let working = tokio::spawn(async move { service.reconcile_due().await });
    slow.entered().await;
    bench.delete_org(&key, id).await;
    working.await.unwrap().unwrap();
    assert_eq!(slow.reasons(), [StopReason::Deletion]);
    let org = bench.org(id).await;
    assert_eq!((org.status, org.change), (OrgStatus::Deprovisioning, None));
    let steps = bench.steps(id).await;
    let update = steps.iter().find(|step| step.name == StepName::Update);
    assert_eq!(update.unwrap().status, StepStatus::Failed);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.plan.as_str()),
        (OrgStatus::Deleted, "standard")
    );
}

#[tokio::test]
async fn a_worker_that_has_lost_its_lease_is_stopped() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    let workers = [(); 2].map(|()| Arc::clone(&bench.service));
    let [first, second] = workers.map(|service| async move { service.reconcile_due().await });
    let first = tokio::spawn(first);
    slow.entered().await;
    bench.clock.advance(Duration::seconds(11));
    let second = tokio::spawn(second);
    slow.entered().await;
    first.await.unwrap().unwrap();
    assert_eq!(slow.reasons(), [StopReason::LeaseLost]);
    assert_eq!(bench.org(id).await.status, OrgStatus::Provisioning);
    second.abort();
}

#[tokio::test]
async fn a_lease_that_can_not_be_renewed_is_given_up_before_it_ends() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    bench.create_org(&key, "slow-corp").await.unwrap();
    let service = Arc::clone(&bench.service);
    let began = Instant::now();
    let working = tokio::spawn(async move { service.reconcile_due().await });
    slow.entered().await;
    bench.db.fail_writes(true);
    working.await.unwrap().unwrap();
    assert_eq!(slow.reasons(), [StopReason::LeaseLost]);
    assert!(
        began.elapsed() < StdDuration::from_secs(8),
        "{:?} of a lease of 10 s",
        began.elapsed()
    );
}

/// What is left of such a lease would not do for the work to come to its end.
#[tokio::test(start_paused = true)]
async fn no_work_begins_under_a_lease_that_took_too_long_to_write() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    bench.db.delay_writes(StdDuration::from_secs(7));
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    assert_eq!(slow.entered.available_permits(), 0, "it was begun");
    bench.db.delay_writes(StdDuration::ZERO);
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.attempts, org.failure),
        (OrgStatus::Provisioning, 0, None)
    );
    let service = Arc::clone(&bench.service);
    let working = tokio::spawn(async move { service.reconcile_due().await });
    slow.entered().await;
    working.abort();
}

#[tokio::test]
async fn a_slow_org_delays_no_other() {
    let slow = slow(2);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let stop = CancellationToken::new();
    let reconciler = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
    bench.create_org(&key, "slow-corp").await.unwrap();
    slow.entered().await;
    for n in 0..5 {
        let id = bench.create_org(&key, &format!("acme-{n}")).await.unwrap();
        ready(&bench, id).await;
    }
    stop.cancel();
    reconciler.await.unwrap();
}

#[tokio::test]
async fn no_more_are_worked_on_at_once_than_the_provisioner_takes() {
    let slow = slow(2);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    for n in 0..3 {
        bench.create_org(&key, &format!("slow-{n}")).await.unwrap();
    }
    let stop = CancellationToken::new();
    let reconciler = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
    slow.entered().await;
    slow.entered().await;
    let third = timeout(StdDuration::from_millis(1500), slow.entered()).await;
    assert!(third.is_err(), "a third one was begun");
    stop.cancel();
    reconciler.await.unwrap();
}

#[tokio::test]
async fn an_attempt_cut_off_by_a_shutdown_is_retried_at_once_and_not_counted() {
    let slow = slow(4);
    let bench = bench_with(slow.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "slow-corp").await.unwrap();
    for _ in 0..3 {
        let stop = CancellationToken::new();
        let reconciler = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
        slow.entered().await;
        stop.cancel();
        reconciler.await.unwrap();
    }
    assert_eq!(slow.reasons(), [StopReason::Shutdown; 3]);
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.attempts, org.failure),
        (OrgStatus::Provisioning, 0, None)
    );
    let steps = bench.steps(id).await;
    assert_eq!(steps.first().unwrap().attempts, 1);
}

/// Never works.
struct Broken;

impl Provisioner for Broken {
    async fn run(
        &self,
        _request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        Err(ProvisionError::TryAgain(Failure {
            code: "no-room".to_owned(),
            message: "there is no room".to_owned(),
        }))
    }
}

#[tokio::test]
async fn orgs_that_failed_together_are_not_retried_together() {
    let bench = bench_with(Broken).await;
    let (_, key) = bench.key(None).await;
    for n in 0..30 {
        bench.create_org(&key, &format!("acme-{n}")).await.unwrap();
    }
    let began = bench.clock.now();
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 30);
    let mut pauses = BTreeSet::new();
    loop {
        let now = bench.clock.now();
        let next = bench.db.read(move |view| view.next_org_due(now)).await;
        let next = next.map_err(|error: stores::StoreError| error).unwrap();
        let pause = next.unwrap() - began;
        if pause > Duration::seconds(1) {
            break;
        }
        assert!(pause >= Duration::milliseconds(750), "{pause}");
        pauses.insert(pause);
        bench.clock.advance(next.unwrap() - now);
        bench.service.reconcile_due().await.unwrap();
    }
    assert!(pauses.len() > 5, "{pauses:?}");
}
