//! Reports of leaked tokens, and of which leaks somebody was told.

use std::slice::from_ref;

use ids::KeyId;
use keys::{LeakLocation, LeakReport, LeakSubject, LeakUrl, MAX_LEAK_NOTICES, MAX_LEAK_REPORTS};
use stores::{Database, prelude::*};

use super::fixture::{Fixture, at};
use crate::build::name;

fn report<D: Database>(fixture: &Fixture<D>, micros: i64) -> LeakReport {
    LeakReport {
        id: fixture.build.id(),
        received_at: at(micros),
        location: LeakLocation::default(),
        partner_digests: Vec::new(),
        admin_digests: Vec::new(),
    }
}

async fn insert<D: Database>(fixture: &Fixture<D>, reports: &[LeakReport]) -> usize {
    let reports = reports.to_vec();
    fixture
        .write(move |tx| tx.leak_reports_insert(&reports))
        .await
}

async fn waiting<D: Database>(fixture: &Fixture<D>, until: i64, limit: usize) -> Vec<LeakReport> {
    fixture
        .read(move |view| view.leak_reports(at(until), limit))
        .await
}

pub async fn a_report_keeps_all_its_fields_until_it_is_removed<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let bare = report(&fixture, 1);
    let digests = |count: u8| (0..count).map(|_| fixture.build.digest());
    let full = LeakReport {
        location: LeakLocation {
            source: Some(name("日本 \"scanner\"")),
            url: Some(LeakUrl::new("https://example.com/'; --").unwrap()),
        },
        partner_digests: digests(3).collect(),
        admin_digests: digests(2).collect(),
        ..report(&fixture, 2)
    };
    assert_eq!(insert(&fixture, &[bare.clone(), full.clone()]).await, 2);
    assert_eq!(waiting(&fixture, 1, 9).await, from_ref(&bare));
    assert_eq!(waiting(&fixture, 2, 1).await, from_ref(&bare));
    assert_eq!(waiting(&fixture, 2, 9).await, [bare.clone(), full.clone()]);
    for _ in 0..2 {
        fixture
            .write(move |tx| tx.leak_report_remove(bare.id))
            .await;
    }
    assert_eq!(waiting(&fixture, 2, 9).await, [full]);
}

pub async fn so_many_reports_wait_and_no_more<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let reports =
        |count: usize| -> Vec<LeakReport> { (0..count).map(|_| report(&fixture, 1)).collect() };
    let (few, many) = (reports(2), reports(MAX_LEAK_REPORTS));
    assert_eq!(insert(&fixture, &few).await, 2);
    assert_eq!(insert(&fixture, &many).await, MAX_LEAK_REPORTS - 2);
    assert_eq!(insert(&fixture, &reports(1)).await, 0);
    let kept: Vec<LeakReport> = few
        .iter()
        .chain(&many)
        .take(MAX_LEAK_REPORTS)
        .cloned()
        .collect();
    assert_eq!(waiting(&fixture, 1, usize::MAX).await, kept);
    for report in few {
        fixture
            .write(move |tx| tx.leak_report_remove(report.id))
            .await;
    }
    assert_eq!(insert(&fixture, &reports(3)).await, 2);
}

async fn told<D: Database>(
    fixture: &Fixture<D>,
    subject: LeakSubject,
    location: u8,
    (micros, since): (i64, i64),
) -> bool {
    fixture
        .write(move |tx| tx.leak_notice_insert(subject, &[location; 32], at(micros), at(since)))
        .await
}

pub async fn a_leak_is_told_of_once_for_each_location_and_again_later<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key = LeakSubject::Key(fixture.build.id());
    let other = LeakSubject::Admin(fixture.build.id());
    assert!(told(&fixture, key, 1, (100, 0)).await);
    assert!(!told(&fixture, key, 1, (110, 10)).await);
    assert!(told(&fixture, key, 2, (110, 10)).await);
    assert!(told(&fixture, other, 1, (110, 10)).await);
    assert!(
        !told(&fixture, key, 1, (200, 100)).await,
        "at the very time"
    );
    assert!(told(&fixture, key, 1, (201, 101)).await);
    assert!(!told(&fixture, key, 2, (201, 101)).await);
}

pub async fn of_so_many_leaks_of_a_key_somebody_is_told_and_no_more<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let key = LeakSubject::Key(fixture.build.id::<KeyId>());
    for location in 0..u8::try_from(MAX_LEAK_NOTICES).unwrap() {
        assert!(told(&fixture, key, location, (100, 0)).await);
    }
    assert!(!told(&fixture, key, 200, (150, 50)).await);
    assert!(told(&fixture, key, 200, (201, 101)).await);
    let other = LeakSubject::Key(fixture.build.id::<KeyId>());
    assert!(told(&fixture, other, 200, (150, 50)).await);
}
