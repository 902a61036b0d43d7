//! Reports of instances, what they are trusted for, and receipts.

use std::time::Duration as StdDuration;

use ids::{Page, PageRequest};
use instances::{Instance, KEPT_FOR, LIVE_FOR};
use keys::RevocationReason;
use orgs::LocalProvisioner;
use service::operations;
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::Build;
use time::Duration;
use tokio::time::Instant;

use crate::kit::{Bench, bench, bench_of_instance};

const UNSPECIFIED: RevocationReason = RevocationReason::Unspecified;

/// Another instance that reported so long ago.
async fn other(bench: &Bench<LocalProvisioner>, build: &Build, ago: Duration) -> Instance {
    let other = Instance {
        last_seen_at: bench.clock.now() - ago,
        ..build.instance()
    };
    report(bench, &other).await;
    other
}

async fn report(bench: &Bench<LocalProvisioner>, instance: &Instance) {
    let instance = instance.clone();
    let written = bench.db.write(move |tx| tx.instance_report(&instance));
    let written: Result<(), StoreError> = written.await;
    written.unwrap();
}

async fn rows(bench: &Bench<LocalProvisioner>) -> Vec<Instance> {
    let all = PageRequest::new(100, None);
    let since = bench.clock.now() - KEPT_FOR * 10;
    let read: Result<Page<Instance>, StoreError> =
        bench.db.read(move |view| view.instances(since, all)).await;
    read.unwrap().items
}

/// Both clocks go on.
async fn pass(bench: &Bench<LocalProvisioner>, time: Duration) {
    bench.clock.advance(time);
    tokio::time::advance(time.try_into().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_those_that_are_live_and_deletes_old_rows() {
    let (bench, build) = (bench_of_instance(100).await, Build::new());
    assert_eq!(bench.service.live_instances().count().get(), 1);
    other(&bench, &build, Duration::SECOND).await;
    other(&bench, &build, LIVE_FOR + Duration::MILLISECOND).await;
    other(&bench, &build, KEPT_FOR + Duration::MILLISECOND).await;
    assert_eq!(rows(&bench).await.len(), 4);
    bench.service.report_instance().await.unwrap();
    assert_eq!(bench.service.live_instances().count().get(), 2);
    assert_eq!(rows(&bench).await.len(), 3);
    bench.service.leave().await.unwrap();
    assert_eq!(rows(&bench).await.len(), 2);
}

#[tokio::test]
async fn a_process_that_is_no_instance_reports_nothing_and_trusts_its_cache() {
    let bench = bench().await;
    bench.service.report_instance().await.unwrap();
    assert_eq!(rows(&bench).await, []);
    bench.service.poll_key_changes().await.unwrap();
    assert!(bench.service.is_credential_cache_fresh());
}

/// The others may take it for dead, and then nobody waits for it.
#[tokio::test(start_paused = true)]
async fn an_instance_trusts_its_cache_only_while_it_reports() {
    let bench = bench_of_instance(100).await;
    let polled = async |expect: bool, when: &str| {
        bench.service.poll_key_changes().await.unwrap();
        let is_fresh = bench.service.is_credential_cache_fresh();
        assert_eq!(is_fresh, expect, "{when}");
    };
    polled(false, "before the first report").await;
    bench.service.report_instance().await.unwrap();
    let is_fresh = bench.service.is_credential_cache_fresh();
    assert!(!is_fresh, "the log was asked before the report");
    pass(&bench, Duration::MILLISECOND).await;
    polled(true, "after the first report").await;
    pass(&bench, Duration::milliseconds(3900)).await;
    polled(true, "just within its trust").await;
    pass(&bench, Duration::milliseconds(200)).await;
    polled(false, "without a report for too long").await;
    bench.service.report_instance().await.unwrap();
    assert!(!bench.service.is_credential_cache_fresh());
    pass(&bench, Duration::MILLISECOND).await;
    polled(true, "after the next report").await;
    bench.db.fail_writes(true);
    for _ in 0..5 {
        pass(&bench, Duration::SECOND).await;
        assert!(bench.service.report_instance().await.is_err());
    }
    polled(false, "while reports fail").await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_waits_for_those_that_are_live_and_for_no_longer_than_asked() {
    let (bench, build) = (bench_of_instance(100).await, Build::new());
    bench.service.report_instance().await.unwrap();
    let slow = other(&bench, &build, Duration::ZERO).await;
    let (id, _) = bench.key(None).await;
    let context = bench
        .authenticate(&bench.admin, operations::KEY_REVOKE)
        .await;
    let context = context.unwrap();
    let began = Instant::now();
    let wait = StdDuration::from_secs(3);
    let never = std::future::pending();
    let revoked = bench
        .service
        .key_revoke_with_receipt(&context, (id, UNSPECIFIED), wait, never);
    let (answer, is_held) = revoked.await.unwrap();
    assert!(is_held);
    assert_eq!(began.elapsed(), wait);
    assert_eq!(answer.status, 200);
    let receipt = answer.value.receipt;
    assert_eq!(receipt.confirmed.len(), 1);
    let unconfirmed: Vec<_> = receipt.unconfirmed.iter().map(|it| it.instance).collect();
    assert_eq!(unconfirmed, [slow.id]);
    // Now it confirms while somebody waits.
    let (id, _) = bench.key(None).await;
    let began = Instant::now();
    let never = std::future::pending();
    let wait = StdDuration::from_secs(30);
    let revoked = bench
        .service
        .key_revoke_with_receipt(&context, (id, UNSPECIFIED), wait, never);
    let confirms = async {
        tokio::time::sleep(StdDuration::from_secs(1)).await;
        let revision = u64::MAX;
        report(&bench, &Instance { revision, ..slow }).await;
    };
    let (revoked, ()) = tokio::join!(revoked, confirms);
    let receipt = revoked.unwrap().0.value.receipt;
    assert_eq!(receipt.unconfirmed, []);
    assert_eq!(receipt.confirmed.len(), 2);
    let after = receipt.confirmed.iter().map(|one| one.1).max().unwrap();
    assert!((1000..1100).contains(&after), "{after}");
    assert!(began.elapsed() < StdDuration::from_millis(1100));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_beyond_the_share_of_held_polls_is_answered_at_once() {
    let (bench, build) = (bench_of_instance(2).await, Build::new());
    bench.service.report_instance().await.unwrap();
    other(&bench, &build, Duration::ZERO).await;
    let [(first, _), (second, _)] = [bench.key(None).await, bench.key(None).await];
    let context = bench
        .authenticate(&bench.admin, operations::KEY_REVOKE)
        .await;
    let context = context.unwrap();
    let wait = StdDuration::from_secs(3);
    let began = Instant::now();
    let revoke = async |id| {
        let never = std::future::pending();
        let revoked =
            bench
                .service
                .key_revoke_with_receipt(&context, (id, UNSPECIFIED), wait, never);
        let (answer, is_held) = revoked.await.unwrap();
        assert_eq!(answer.value.receipt.unconfirmed.len(), 1);
        (is_held, began.elapsed())
    };
    let later = async {
        tokio::time::sleep(StdDuration::from_millis(100)).await;
        assert_eq!(bench.service.held_polls().now, 1);
        revoke(second).await
    };
    let (first, second) = tokio::join!(revoke(first), later);
    assert_eq!(first, (true, wait));
    assert_eq!(second, (false, StdDuration::from_millis(100)));
    assert_eq!(bench.service.held_polls().now, 0);
}

/// Who is live is not known then, beyond what the last report has seen.
#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_when_it_is_over() {
    let (bench, build) = (bench_of_instance(100).await, Build::new());
    other(&bench, &build, Duration::ZERO).await;
    bench.service.report_instance().await.unwrap();
    let (id, _) = bench.key(None).await;
    let context = bench
        .authenticate(&bench.admin, operations::KEY_REVOKE)
        .await;
    let context = context.unwrap();
    let began = Instant::now();
    let gives_up = tokio::time::sleep(StdDuration::from_secs(2));
    let wait = StdDuration::from_secs(30);
    let revoked =
        bench
            .service
            .key_revoke_with_receipt(&context, (id, UNSPECIFIED), wait, gives_up);
    let (answer, _) = revoked.await.unwrap();
    assert_eq!(answer.value.receipt.unconfirmed.len(), 1);
    assert_eq!(began.elapsed(), StdDuration::from_secs(2));
    let (id, _) = bench.key(None).await;
    bench.service.close_status_watch();
    let never = std::future::pending();
    let revoked = bench
        .service
        .key_revoke_with_receipt(&context, (id, UNSPECIFIED), wait, never);
    revoked.await.unwrap();
    assert_eq!(began.elapsed(), StdDuration::from_secs(2));
}
