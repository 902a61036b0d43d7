//! Reading where an org stands once it stands elsewhere.

use std::{sync::Arc, time::Duration};

use ids::OrgId;
use keys::PlainKey;
use orgs::{LocalProvisioner, OrgStatus, OrgVisibility, Transition};
use service::{Error, Rejection, operations};
use stores::{Database as _, StoreError, prelude::*};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::kit::{Bench, bench};

type LocalBench = Bench<LocalProvisioner>;
type Outcome = Result<OrgStatus, Rejection>;

const LONG: Duration = Duration::from_secs(50);

/// Starts the task that asks for all who wait; it ends with what is returned.
fn watching(bench: &LocalBench) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&bench.service).watch_org_statuses(stop.clone()));
    stop
}

/// Asks where an org stands and waits for as long as it may.
async fn ask(bench: &LocalBench, key: &PlainKey, id: OrgId, wait: Duration) -> JoinHandle<Outcome> {
    let context = bench
        .authenticate(key, operations::ORG_STATUS)
        .await
        .unwrap();
    let service = Arc::clone(&bench.service);
    let asked = tokio::spawn(async move {
        let (answer, _) = service
            .org_status_long_poll(&context, id, wait, std::future::pending())
            .await?;
        Ok(answer.value.org.status)
    });
    // Long enough to be waiting, and less than one who asks for all waits between two questions.
    tokio::time::sleep(Duration::from_millis(50)).await;
    asked
}

async fn status_events(bench: &LocalBench) -> Vec<u16> {
    let events = bench.events().await;
    let polls = events
        .iter()
        .filter(|event| event.action.as_str() == "org.status");
    polls
        .map(|event| event.request.as_ref().unwrap().status_code)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_response_is_held_until_the_status_changes() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let asked = ask(&bench, &key, id, LONG).await;
    assert!(!asked.is_finished());
    assert_eq!(status_events(&bench).await, [0; 0]);
    bench.service.reconcile_due().await.unwrap();
    let began = Instant::now();
    assert_eq!(asked.await.unwrap().unwrap(), OrgStatus::Ready);
    assert!(began.elapsed() < Duration::from_millis(10), "told at once");
    assert_eq!(status_events(&bench).await, [200]);
    let ready = ask(&bench, &key, id, LONG).await;
    assert!(ready.is_finished(), "nothing is pending");

    // From one pending status to the other is a change too.
    bench.delete_org(&key, id).await;
    let asked = ask(&bench, &key, id, LONG).await;
    assert!(!asked.is_finished());
    bench.service.reconcile_due().await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), OrgStatus::Deleted);
}

#[tokio::test(start_paused = true)]
async fn a_change_by_another_process_is_seen_within_half_a_second() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let asked = ask(&bench, &key, id, LONG).await;
    let now = bench.clock.now();
    let changed = bench.db.write(move |tx| {
        let mut org = tx.org(OrgVisibility::All, id)?.unwrap();
        org.apply(Transition::Provisioned, now).unwrap();
        tx.org_update(&org, None)
    });
    changed.await.map_err(|error: StoreError| error).unwrap();
    let began = Instant::now();
    assert_eq!(asked.await.unwrap().unwrap(), OrgStatus::Ready);
    assert!(began.elapsed() < Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn all_orgs_that_change_together_are_published() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let (_, key) = bench.key(None).await;
    let (mut ids, mut asked) = (Vec::new(), Vec::new());
    for n in 0..120 {
        let id = bench.create_org(&key, &format!("acme-{n}")).await.unwrap();
        ids.push(id);
        asked.push(ask(&bench, &key, id, LONG).await);
    }
    let now = bench.clock.now();
    let changed = bench.db.write(move |tx| {
        for &id in &ids {
            let mut org = tx.org(OrgVisibility::All, id)?.unwrap();
            org.apply(Transition::Provisioned, now).unwrap();
            tx.org_update(&org, None)?;
        }
        Ok(())
    });
    changed.await.map_err(|error: StoreError| error).unwrap();
    let began = Instant::now();
    for asked in asked {
        assert_eq!(asked.await.unwrap().unwrap(), OrgStatus::Ready);
    }
    assert!(began.elapsed() < Duration::from_millis(500));
    assert_eq!(status_events(&bench).await, [200; 120]);
}

#[tokio::test(start_paused = true)]
async fn no_call_is_held_longer_than_requested() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let (_, key) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let began = Instant::now();
    let asked = ask(&bench, &key, id, Duration::from_secs(7)).await;
    assert_eq!(asked.await.unwrap().unwrap(), OrgStatus::Provisioning);
    assert_eq!(began.elapsed().as_secs(), 7);
    let at_once = ask(&bench, &key, id, Duration::ZERO).await;
    assert!(at_once.is_finished());
    assert_eq!(status_events(&bench).await, [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_expired_during_the_wait_is_rejected() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let draft = keys::KeyDraft {
        expires_at: Some(bench.clock.now() + time::Duration::seconds(5)),
        ..bench.key_draft(None)
    };
    let (_, key) = bench.key_by(draft).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    bench.service.poll_key_changes().await.unwrap();
    let asked = ask(&bench, &key, id, LONG).await;
    bench.clock.advance(time::Duration::seconds(5));
    bench.service.reconcile_due().await.unwrap();
    let refused = asked.await.unwrap().unwrap_err();
    assert!(matches!(refused.error, Error::KeyExpired), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn an_org_that_is_not_visible_is_not_waited_for() {
    let bench = bench().await;
    let _watch = watching(&bench);
    let (_, key) = bench.key(None).await;
    let (_, stranger) = bench.key(None).await;
    let id = bench.create_org(&key, "acme-corp").await.unwrap();
    let asked = ask(&bench, &stranger, id, LONG).await;
    assert!(asked.is_finished());
    let refused = asked.await.unwrap().unwrap_err();
    assert!(matches!(refused.error, Error::NotFound), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_expected_wait_is_that_of_earlier_orgs() {
    let bench = bench().await;
    let (_, key) = bench.key(None).await;
    let pending = bench.create_org(&key, "acme-first").await.unwrap();
    let first = bench.service.expected_wait(&bench.org(pending).await).await;
    assert_eq!(first, time::Duration::SECOND, "nobody knows yet");
    bench.clock.advance(time::Duration::seconds(9));
    bench.service.reconcile_due().await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    let next = bench.create_org(&key, "acme-next").await.unwrap();
    let wait = async || bench.service.expected_wait(&bench.org(next).await).await;
    assert_eq!(wait().await, time::Duration::seconds(9));
    bench.clock.advance(time::Duration::seconds(4));
    assert_eq!(wait().await, time::Duration::seconds(5));
    bench.clock.advance(time::Duration::seconds(40));
    assert_eq!(wait().await, time::Duration::SECOND);
}
