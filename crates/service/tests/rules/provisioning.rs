//! The reconciler, with provisioners that fail, dawdle and are interrupted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use orgs::{
    Failure, LeaseToken, LocalProvisioner, OrgStatus, ProvisionError, ProvisionOutput,
    ProvisionRequest, Provisioner, StepName, StepStatus, StopReason, Transition,
};
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;
use tokio::sync::Semaphore;

use crate::kit::{Gated, bench, bench_with, org_body};

fn failure() -> Failure {
    Failure {
        code: "no-room".to_owned(),
        message: "there is no room".to_owned(),
    }
}

/// Gives the answers it was told to give, then only good ones.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<VecDeque<ProvisionError>>>);

impl Scripted {
    fn next(&self) -> Result<ProvisionOutput, ProvisionError> {
        self.0
            .lock()
            .unwrap()
            .pop_front()
            .map_or_else(|| Ok(ProvisionOutput::default()), Err)
    }
}

impl Provisioner for Scripted {
    async fn run(
        &self,
        _request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        self.next()
    }
}

#[tokio::test]
async fn an_org_becomes_ready_with_its_workspace_and_its_event() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Provisioning);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.ready_at),
        (OrgStatus::Ready, Some(bench.clock.now()))
    );
    let steps = bench.steps(id).await;
    assert!(
        steps
            .iter()
            .all(|step| step.status == StepStatus::Succeeded),
        "{steps:?}"
    );
    assert_eq!(bench.actions().await.last(), Some(&"org.provisioned"));
    assert_eq!(
        bench.service.reconcile_due().await.unwrap(),
        0,
        "nothing is left to do"
    );
}

#[tokio::test]
async fn a_temporary_failure_is_retried_and_shown_meanwhile() {
    let script = Scripted::default();
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    script.0.lock().unwrap().extend([
        ProvisionError::TryAgain(failure()),
        ProvisionError::TryAgain(failure()),
    ]);
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.failure),
        (OrgStatus::Provisioning, Some(failure()))
    );
    assert_eq!(
        bench.service.reconcile_due().await.unwrap(),
        0,
        "not before its time"
    );
    bench.clock.advance(Duration::seconds(1));
    bench.service.reconcile_due().await.unwrap();
    bench.clock.advance(Duration::seconds(2));
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.failure, org.attempts),
        (OrgStatus::Ready, None, 3)
    );
    assert_eq!(
        bench.steps(id).await.first().map(|step| step.attempts),
        Some(3)
    );
}

#[tokio::test]
async fn an_org_that_can_not_be_provisioned_fails_and_can_be_retried() {
    let script = Scripted::default();
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    script
        .0
        .lock()
        .unwrap()
        .push_back(ProvisionError::Failed(failure()));
    bench.service.reconcile_due().await.unwrap();
    let org = bench.org(id).await;
    assert_eq!(
        (org.status, org.failure),
        (OrgStatus::Failed, Some(failure()))
    );
    assert_eq!(bench.actions().await.last(), Some(&"org.failed"));
    let admin = bench
        .authenticate(&bench.admin, service::operations::ORG_RETRY)
        .await
        .unwrap();
    bench.service.org_retry(&admin, id, org_body).await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Ready);
}

#[tokio::test]
async fn after_the_last_attempt_the_org_has_failed() {
    let script = Scripted::default();
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    script
        .0
        .lock()
        .unwrap()
        .extend(vec![ProvisionError::TryAgain(failure()); 20]);
    for _ in 0..20 {
        bench.service.reconcile_due().await.unwrap();
        bench.clock.advance(Duration::seconds(10));
    }
    let org = bench.org(id).await;
    assert_eq!((org.status, org.attempts), (OrgStatus::Failed, 12));
    let failure = org.failure.unwrap();
    assert_eq!(failure.code, "no-room");
    assert!(
        failure.message.contains("after 12 attempts")
            && failure.message.contains("there is no room"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_deletion_is_tried_without_end_and_says_why_it_waits() {
    let script = Scripted::default();
    let bench = bench_with(script.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    bench.delete_org(&key, id).await;
    script
        .0
        .lock()
        .unwrap()
        .extend(vec![ProvisionError::Failed(failure()); 30]);
    for _ in 0..30 {
        bench.service.reconcile_due().await.unwrap();
        let org = bench.org(id).await;
        assert_eq!(
            (org.status, org.failure),
            (OrgStatus::Deprovisioning, Some(failure()))
        );
        bench.clock.advance(Duration::seconds(10));
    }
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
    assert_eq!(bench.actions().await.last(), Some(&"org.deleted"));
    bench
        .create_org(&key, "acme-corp")
        .await
        .expect("the slug is free for its partner");
}

#[tokio::test]
async fn a_delete_in_the_middle_of_provisioning_wins() {
    let gate = Gated {
        entered: Arc::new(Semaphore::new(0)),
        let_through: Arc::new(Semaphore::new(0)),
    };
    let bench = bench_with(gate.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let service = Arc::clone(&bench.service);
    let working = tokio::spawn(async move { service.reconcile_due().await });
    gate.entered.acquire().await.unwrap().forget();
    bench.delete_org(&key, id).await;
    assert_eq!(
        bench.service.reconcile_due().await.unwrap(),
        0,
        "no deletion beside the making"
    );
    gate.let_through.add_permits(1);
    working.await.unwrap().unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Deprovisioning);
    assert_eq!(
        bench.service.reconcile_due().await.unwrap(),
        1,
        "and at once after it"
    );
    assert_eq!(bench.org(id).await.status, OrgStatus::Deleted);
    assert!(!bench.actions().await.contains(&"org.provisioned"));
}

#[tokio::test]
async fn a_worker_that_died_is_followed_when_its_lease_ends_and_can_not_write_after() {
    let gate = Gated {
        entered: Arc::new(Semaphore::new(0)),
        let_through: Arc::new(Semaphore::new(0)),
    };
    let bench = bench_with(gate.clone()).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let service = Arc::clone(&bench.service);
    let first = tokio::spawn(async move { service.reconcile_due().await });
    gate.entered.acquire().await.unwrap().forget();
    bench.clock.advance(Duration::seconds(11));
    let service = Arc::clone(&bench.service);
    let second = tokio::spawn(async move { service.reconcile_due().await });
    gate.entered.acquire().await.unwrap().forget();
    gate.let_through.add_permits(2);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(bench.org(id).await.status, OrgStatus::Ready);
    let provisioned = bench.actions().await;
    let provisioned = provisioned
        .iter()
        .filter(|&&action| action == "org.provisioned");
    assert_eq!(provisioned.count(), 1, "two workers, one event");
    let steps = bench.steps(id).await;
    let provision = steps
        .iter()
        .find(|step| step.name == StepName::Provision)
        .unwrap();
    assert_eq!(provision.attempts, 1, "being killed does not count");
}

#[tokio::test]
async fn an_org_at_rest_that_was_due_by_mistake_is_left_as_it_is() {
    let bench = bench_with(LocalProvisioner).await;
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    bench.service.reconcile_due().await.unwrap();
    let mut org = bench.org(id).await;
    org.apply(Transition::Suspend, bench.clock.now()).unwrap();
    let due = bench.clock.now();
    let stored = org.clone();
    let write = bench.db.write(move |tx| tx.org_update(&stored, Some(due)));
    write.await.map_err(|error: StoreError| error).unwrap();
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(bench.org(id).await, org);
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 0);
    let token = LeaseToken(ids::Ulid::nil());
    let held = bench.db.write(move |tx| tx.org_leased(id, token)).await;
    assert_eq!(held.map_err(|error: StoreError| error).unwrap(), None);
}
