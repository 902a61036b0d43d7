//! Orgs that are created together, and handed over to the reconciler beside that.

use std::{sync::Arc, time::Duration as StdDuration};

use keys::KeyDraft;
use orgs::{LocalProvisioner, OrgStatus, Provisioner, StepStatus};
use service::Error;
use stores::{Database as _, prelude::*};
use time::Duration;
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::kit::{Bench, Gated, bench, bench_with};

async fn next_due<P: Provisioner>(bench: &Bench<P>) -> Option<time::OffsetDateTime> {
    let now = bench.clock.now();
    let read = bench.db.read(move |view| view.next_org_due(now));
    read.await
        .map_err(|error: stores::StoreError| error)
        .unwrap()
}

#[tokio::test]
async fn of_creations_at_once_each_has_its_own_answer_and_event() {
    let bench = Arc::new(bench().await);
    let (_, key) = bench.key(None).await;
    let counted = KeyDraft {
        max_live_orgs: Some(1),
        ..bench.key_draft(None)
    };
    let (_, counted) = bench.key_by(counted).await;
    let (revoked, ended) = bench.key(None).await;
    let before = bench.events().await.len();
    // They are admitted before the revocation, and find it in their transaction.
    let late = bench
        .authenticate(&ended, service::operations::ORG_CREATE)
        .await
        .unwrap();
    bench.revoke(revoked).await;
    let slugs = ["acme-one", "acme-two", "acme-one", "acme-three", "acme-two"];
    let tasks: Vec<_> = slugs
        .map(|slug| (key.clone(), slug))
        .into_iter()
        .chain([(counted.clone(), "mine-one"), (counted, "mine-two")])
        .map(|(key, slug)| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.create_org(&key, slug).await })
        })
        .collect();
    let draft = bench.org_draft("late-corp");
    let late = bench.service.org_create(&late, draft, crate::kit::org_body);
    let late = late.await.unwrap_err();
    assert!(matches!(late.error, Error::KeyRevoked), "{late:?}");
    let (mut made, mut taken, mut over) = (Vec::new(), 0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(id) => made.push(id),
            Err(refusal) if matches!(refusal.error, Error::SlugTaken) => taken += 1,
            Err(refusal) if matches!(refusal.error, Error::KeyOrgQuota(1)) => over += 1,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!((made.len(), taken, over), (4, 2, 1));
    for id in made {
        assert_eq!(bench.org(id).await.status, OrgStatus::Provisioning);
    }
    let events = bench.events().await;
    let creations = events.iter().skip(before);
    let creations = creations.filter(|event| event.action == audit::Action::OrgCreate);
    let (done, refused): (Vec<_>, Vec<_>) =
        creations.partition(|event| event.outcome == audit::Outcome::Success);
    assert_eq!((done.len(), refused.len()), (4, 4));
    assert!(done.iter().all(|event| event.org_id.is_some()));
}

#[tokio::test]
async fn a_storage_failure_reaches_all_waiting_creations() {
    let bench = Arc::new(bench().await);
    let (_, key) = bench.key(None).await;
    bench.create_org(&key, "acme-first").await.unwrap();
    bench.db.fail_writes(true);
    let tasks = ["acme-one", "acme-two", "acme-three", "acme-four"].map(|slug| {
        let (bench, key) = (Arc::clone(&bench), key.clone());
        tokio::spawn(async move { bench.create_org(&key, slug).await })
    });
    for task in tasks {
        let refusal = task.await.unwrap().unwrap_err();
        assert!(matches!(refusal.error, Error::Store(_)), "{refusal:?}");
        assert_eq!(refusal.event, None);
    }
    bench.db.fail_writes(false);
    bench.create_org(&key, "acme-one").await.unwrap();
}

#[tokio::test]
async fn an_org_is_handed_to_the_worker_beside_its_creation() {
    let bench = bench_with(LocalProvisioner).await;
    let (_, key) = bench.key(None).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
    while next_due(&bench).await.is_some() {
        sleep(StdDuration::from_millis(1)).await;
    }
    sleep(StdDuration::from_millis(20)).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    assert_eq!(
        next_due(&bench).await,
        None,
        "it is held from the beginning"
    );
    while bench.org(id).await.status != OrgStatus::Ready {
        sleep(StdDuration::from_millis(1)).await;
    }
    let steps = bench.steps(id).await;
    let actual: Vec<_> = steps.iter().map(|one| (one.status, one.attempts)).collect();
    assert_eq!(
        actual,
        [(StepStatus::Succeeded, 1), (StepStatus::Succeeded, 1)]
    );
    stop.cancel();
    working.await.unwrap();
    let id = bench.create_org(&key, "acme-later").await.unwrap();
    assert!(
        next_due(&bench).await.is_some(),
        "nobody works here any more"
    );
    assert_eq!(bench.service.reconcile_due().await.unwrap(), 1);
    assert_eq!(bench.org(id).await.status, OrgStatus::Ready);
}

#[tokio::test]
async fn an_org_whose_worker_died_is_taken_up_when_its_lease_ends() {
    let gate = Gated {
        entered: Arc::new(Semaphore::new(0)),
        let_through: Arc::new(Semaphore::new(0)),
    };
    let bench = bench_with(gate.clone()).await;
    let (_, key) = bench.key(None).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(Arc::clone(&bench.service).reconcile(stop.clone()));
    sleep(StdDuration::from_millis(20)).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    gate.entered.acquire().await.unwrap().forget();
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
    let other = Arc::clone(&bench.service);
    gate.let_through.add_permits(1);
    assert_eq!(other.reconcile_due().await.unwrap(), 0, "it is still held");
    bench.clock.advance(Duration::seconds(11));
    assert_eq!(other.reconcile_due().await.unwrap(), 1);
    assert_eq!(bench.org(id).await.status, OrgStatus::Ready);
    let steps = bench.steps(id).await;
    assert_eq!(
        steps.first().unwrap().attempts,
        1,
        "being killed does not count"
    );
}
