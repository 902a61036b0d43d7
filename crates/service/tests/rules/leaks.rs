//! What becomes of leaked keys.

use audit::{Action, Actor};
use ids::KeyId;
use keys::{KeyDraft, LeakLocation, LeakUrl, OnLeak, PlainKey, RevocationReason};
use orgs::LocalProvisioner;
use service::{LeakedToken, Verdict, operations};
use stores::{Database as _, StoreError, prelude::*};
use time::Duration;

use crate::kit::{Bench, bench};

const ADDRESS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn at(url: &str) -> LeakLocation {
    LeakLocation {
        source: None,
        url: LeakUrl::new(url).ok(),
    }
}

async fn handled(bench: &Bench<LocalProvisioner>) {
    while bench.service.handle_leaks().await.unwrap() != service::Next::Idle {}
}

async fn report(bench: &Bench<LocalProvisioner>, tokens: &[PlainKey], url: &str) {
    let reported = bench.service.leak_report(ADDRESS, tokens, at(url));
    reported.await.unwrap();
}

async fn reason(bench: &Bench<LocalProvisioner>, id: KeyId) -> Option<RevocationReason> {
    let held: Result<_, StoreError> = bench.db.read(move |view| view.key(id)).await;
    held.unwrap().unwrap().key.revocation_reason
}

async fn leaks(bench: &Bench<LocalProvisioner>, action: Action) -> usize {
    let events = bench.events().await;
    events.iter().filter(|event| event.action == action).count()
}

#[tokio::test(start_paused = true)]
async fn a_report_is_stored_when_it_is_answered_and_handled_afterwards() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    report(&bench, std::slice::from_ref(&key), "u").await;
    assert_eq!(reason(&bench, id).await, None);
    handled(&bench).await;
    assert_eq!(reason(&bench, id).await, Some(RevocationReason::Leaked));
    let refused = bench.authenticate(&key, operations::WHOAMI).await;
    assert!(matches!(
        refused.unwrap_err().error,
        service::Error::KeyRevoked
    ));
    let events = bench.events().await;
    let leaked = events.iter().find(|it| it.action == Action::KeyLeaked);
    let actor = leaked.unwrap().actor;
    assert!(
        matches!(
            actor,
            Actor::System {
                partner_id: Some(_)
            }
        ),
        "{actor:?}"
    );
    assert!(leaked.unwrap().request.is_none());
    // It is gone, and another one of the same key changes nothing.
    report(&bench, &[key], "u").await;
    handled(&bench).await;
    assert_eq!(leaks(&bench, Action::KeyLeaked).await, 1);
    let left: Result<_, StoreError> = bench
        .db
        .read(move |view| view.leak_reports(time::OffsetDateTime::now_utc(), 9))
        .await;
    assert!(left.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_reports_of_one_address_delay_none_of_another() {
    let bench = bench().await;
    for n in 0..50 {
        let unknown = bench.service.env().key(keys::KeyKind::Partner);
        report(&bench, &[unknown], &format!("u{n}")).await;
    }
    let (id, key) = bench.key(None).await;
    let other = std::net::IpAddr::from([192, 0, 2, 1]);
    let tokens = [key];
    let reported = bench.service.leak_report(other, &tokens, at("u"));
    reported.await.unwrap();
    for _ in 0..2 {
        bench.service.handle_leaks().await.unwrap();
    }
    assert_eq!(reason(&bench, id).await, Some(RevocationReason::Leaked));
}

#[tokio::test(start_paused = true)]
async fn a_report_whose_process_ended_is_handled_by_another() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    let digests = crate::kit::peppers().candidates(&key).collect();
    let left = keys::LeakReport {
        id: bench.service.env().id(),
        received_at: bench.clock.now(),
        location: at("u"),
        partner_digests: digests,
        admin_digests: Vec::new(),
    };
    let stored: Result<usize, StoreError> = bench
        .db
        .write(move |tx| tx.leak_reports_insert(std::slice::from_ref(&left)))
        .await;
    assert_eq!(stored.unwrap(), 1);
    handled(&bench).await;
    assert_eq!(reason(&bench, id).await, None, "its process may be at it");
    bench.clock.advance(Duration::seconds(1));
    handled(&bench).await;
    assert_eq!(reason(&bench, id).await, Some(RevocationReason::Leaked));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_is_told_of_again_a_day_later() {
    let bench = bench().await;
    let draft = KeyDraft {
        on_leak: OnLeak::Notify,
        ..bench.key_draft(None)
    };
    let (id, key) = bench.key_by(draft).await;
    for (day, told) in [(0, 1), (0, 1), (1, 2), (0, 2)] {
        bench
            .clock
            .advance(Duration::days(day) + Duration::minutes(day));
        for _ in 0..3 {
            report(&bench, std::slice::from_ref(&key), "u").await;
        }
        handled(&bench).await;
        assert_eq!(leaks(&bench, Action::KeyLeaked).await, told);
    }
    assert_eq!(reason(&bench, id).await, None);
}

#[tokio::test(start_paused = true)]
async fn many_keys_at_once_are_all_revoked_and_told_from_what_is_none() {
    let bench = bench().await;
    let mut tokens = Vec::new();
    let mut expect = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..60 {
        let (id, key) = bench.key(None).await;
        keys.push(id);
        tokens.push(key);
        expect.push(Verdict::Known);
        tokens.push(bench.service.env().key(keys::KeyKind::Partner));
        expect.push(Verdict::Unknown);
    }
    tokens.push(bench.admin.clone());
    expect.push(Verdict::Known);
    let tokens = tokens.into_iter().map(|token| LeakedToken {
        token,
        location: at("u"),
    });
    let verdicts = bench.service.leaks_handle(tokens.collect()).await.unwrap();
    assert_eq!(verdicts, expect);
    for id in keys {
        assert_eq!(reason(&bench, id).await, Some(RevocationReason::Leaked));
    }
    assert_eq!(leaks(&bench, Action::KeyLeaked).await, 60);
    assert_eq!(leaks(&bench, Action::AdminKeyLeaked).await, 1);
    bench
        .authenticate(&bench.admin, operations::PARTNER_LIST)
        .await
        .unwrap();
    let counts = bench.service.leak_counts();
    assert_eq!(
        (counts.revoked, counts.notified, counts.admin_keys),
        (60, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_loses_no_report() {
    let bench = bench().await;
    let (id, key) = bench.key(None).await;
    report(&bench, &[key], "u").await;
    bench.db.fail_writes(true);
    bench.service.handle_leaks().await.unwrap_err();
    bench.db.fail_writes(false);
    bench.clock.advance(Duration::seconds(1));
    handled(&bench).await;
    assert_eq!(reason(&bench, id).await, Some(RevocationReason::Leaked));
}
