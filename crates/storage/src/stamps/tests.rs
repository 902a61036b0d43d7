//! A reader that stays behind the clock by the lag is never overtaken.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use audit::{Actor, AuditVisibility, EventFilter, LAG, Stamp};
use diesel::connection::{SimpleConnection as _, TransactionManager as _};
use ids::{EventId, PageRequest, Sequence, TypedId as _, Ulid};
use stores::{Database as _, StoreError, prelude::*};
use tempfile::TempDir;
use testkit::{build::Build, random::SeededRandom};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::*;
use crate::{
    AuditMode, DatabaseUrl, Options, SqlDatabase, Writing, connection::AnyConnection, migrate,
    session::Session,
};

/// A stamper of this machine's clock.
fn clock(seed: u64) -> Stamper {
    let state = Mutex::new((Sequence::new(), SeededRandom::new(seed)));
    Arc::new(move || {
        let mut state = state.lock().unwrap();
        let (sequence, random) = &mut *state;
        let at = OffsetDateTime::now_utc();
        let at = at.replace_nanosecond(at.microsecond() * 1000).unwrap();
        let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
        let id = sequence.next(ms, random);
        Stamp { id, at }
    })
}

fn sqlite() -> (DatabaseUrl, Option<TempDir>) {
    let folder = tempfile::tempdir().unwrap();
    let url: DatabaseUrl = format!("sqlite:{}/cp.db", folder.path().display())
        .parse()
        .unwrap();
    migrate(&url).unwrap();
    (url, Some(folder))
}

fn postgres() -> Option<(DatabaseUrl, Option<TempDir>)> {
    let server = testkit::postgres::Server::shared()?;
    let url: DatabaseUrl = server.new_database().parse().unwrap();
    migrate(&url).unwrap();
    Some((url, None))
}

fn open(url: &DatabaseUrl, audit: AuditMode, seed: u64) -> SqlDatabase {
    let options = Options {
        audit,
        ..Options::default()
    };
    SqlDatabase::open_stamping(url, options, clock(seed)).unwrap()
}

const SYSTEM: Actor = Actor::System { partner_id: None };

/// Appends, and makes changes that take long after they have noted their events; the ids that were told.
async fn write(
    db: SqlDatabase,
    build: Arc<Build>,
    slow: Option<Duration>,
    until: Instant,
) -> Vec<EventId> {
    let mut told = Vec::new();
    while Instant::now() < until {
        let event = build.event_by(SYSTEM);
        if let Some(slow) = slow {
            let change = db.write(move |tx| {
                let receipt = tx.event_record(&event)?;
                // As when the row of a key is somebody else's for as long.
                thread::sleep(slow);
                Ok::<_, StoreError>(receipt)
            });
            told.push(change.await.unwrap().id());
            tokio::time::sleep(slow).await;
        } else {
            told.push(db.append(Box::new(event)).await.unwrap());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    told
}

async fn page(db: &SqlDatabase, filter: EventFilter, after: Option<Ulid>) -> Vec<Event> {
    let mut all = Vec::new();
    let mut after = after;
    loop {
        let (filter, page) = (filter.clone(), PageRequest::new(500, after));
        let read = db.read(move |view| view.events_oldest_first(&filter, page));
        let read = read.await.unwrap();
        after = read.next;
        all.extend(read.items);
        if after.is_none() {
            return all;
        }
    }
}

/// By times and by ids, while two processes write.
async fn nothing_overtakes_a_reader(url: &DatabaseUrl, slow: Duration) {
    let audit = AuditMode::Strict;
    let build = Arc::new(Build::new());
    let reader = open(url, audit, 1);
    let (one, two) = (open(url, audit, 2), open(url, audit, 3));
    let end = Instant::now() + Duration::from_secs(7);
    let writers: JoinSet<_> = [&one, &two]
        .into_iter()
        .flat_map(|db| [(db, None), (db, None), (db, Some(slow))])
        .map(|(db, slow)| write(db.clone(), Arc::clone(&build), slow, end))
        .collect();
    let all = EventFilter::all(AuditVisibility::All);
    let (mut by_time, mut by_id) = (BTreeMap::new(), BTreeMap::new());
    let mut since = OffsetDateTime::UNIX_EPOCH;
    let stop = Instant::now() + Duration::from_secs(12);
    while Instant::now() < stop {
        let until = OffsetDateTime::now_utc() - LAG;
        let new = EventFilter {
            since: Some(since),
            until: Some(until),
            ..all.clone()
        };
        for event in page(&reader, new, None).await {
            assert_eq!(by_time.insert(event.id, event), None, "read twice");
        }
        since = until;
        let last = by_id.keys().next_back().map(|id: &EventId| id.ulid());
        let horizon = u64::try_from(until.unix_timestamp_nanos() / 1_000_000).unwrap();
        let new = page(&reader, all.clone(), last).await;
        let settled = new
            .into_iter()
            .filter(|event| event.id.ulid().timestamp_ms() < horizon);
        by_id.extend(settled.map(|event| (event.id, event)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut told: Vec<EventId> = writers.join_all().await.into_iter().flatten().collect();
    told.sort_unstable();
    let there = page(&reader, all, None).await;
    let ids: Vec<EventId> = there.iter().map(|event| event.id).collect();
    assert_eq!(ids, told, "what was told is what is there");
    assert!(ids.len() > 100, "{}", ids.len());
    assert!(there.iter().eq(by_time.values()), "missed by times");
    assert!(there.iter().eq(by_id.values()), "missed by ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_a_reader_on_sqlite() {
    let (url, _folder) = sqlite();
    nothing_overtakes_a_reader(&url, Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_a_reader_on_postgres() {
    let Some((url, _)) = postgres() else { return };
    nothing_overtakes_a_reader(&url, Duration::from_millis(2300)).await;
}

/// A clock that stands still for longer than a stamp is good, once.
fn slow_once(slow: &Arc<AtomicBool>) -> Stamper {
    let (clock, slow) = (clock(7), Arc::clone(slow));
    Arc::new(move || {
        let stamp = clock();
        if slow.swap(false, SeqCst) {
            thread::sleep(STAMP_TTL * 2);
        }
        stamp
    })
}

async fn a_stamp_that_has_grown_old_is_replaced(url: &DatabaseUrl) {
    let slow = Arc::new(AtomicBool::new(false));
    let db = SqlDatabase::open_stamping(url, Options::default(), slow_once(&slow)).unwrap();
    let build = Build::new();
    let mut told = Vec::new();
    for way in 0..2 {
        slow.store(true, SeqCst);
        let began = OffsetDateTime::now_utc();
        let event = build.event_by(SYSTEM);
        let id = if way == 0 {
            db.append(Box::new(event)).await.unwrap()
        } else {
            let change = db.write(move |tx| tx.event_record(&event));
            change.await.unwrap().id()
        };
        let found = db
            .read(move |view| view.event(AuditVisibility::All, id))
            .await;
        let at = found.unwrap().unwrap().occurred_at;
        assert!(at - began >= STAMP_TTL, "{at} is not after {began}");
        told.push(id);
    }
    let all = page(&db, EventFilter::all(AuditVisibility::All), None).await;
    let ids: Vec<EventId> = all.iter().map(|event| event.id).collect();
    assert_eq!(ids, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_that_has_grown_old_is_replaced_on_sqlite() {
    let (url, _folder) = sqlite();
    a_stamp_that_has_grown_old_is_replaced(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_that_has_grown_old_is_replaced_on_postgres() {
    let Some((url, _)) = postgres() else { return };
    a_stamp_that_has_grown_old_is_replaced(&url).await;
}

/// Somebody has the whole table for himself while the event is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waits_for_a_lock_is_stamped_when_it_has_it() {
    let Some((url, _)) = postgres() else { return };
    let db = open(&url, AuditMode::Strict, 1);
    let build = Build::new();
    db.append(Box::new(build.event_by(SYSTEM))).await.unwrap();
    let mut other = Session::<Writing>::connect(&url).unwrap();
    other.begin().unwrap();
    let lock = "LOCK TABLE audit_segments IN EXCLUSIVE MODE";
    other.run(|c| c.batch_execute(lock)).unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|way| {
            let (db, event) = (db.clone(), build.event_by(SYSTEM));
            tokio::spawn(async move {
                if way == 0 {
                    db.append(Box::new(event)).await
                } else {
                    let change = db.write(move |tx| tx.event_record(&event));
                    change.await.map(|receipt| receipt.id())
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let freed = OffsetDateTime::now_utc();
    other.run(|c| c.batch_execute("ROLLBACK")).unwrap();
    for id in waiting {
        let id = id.await.unwrap().unwrap();
        let found = db
            .read(move |view| view.event(AuditVisibility::All, id))
            .await;
        let at = found.unwrap().unwrap().occurred_at;
        assert!(at >= freed, "{at} is before {freed}");
    }
}

/// A process that is stopped after it has written an event, and before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_late_fails() {
    let Some((url, _)) = postgres() else { return };
    let mut session = Session::<Writing>::connect(&url).unwrap();
    let build = Build::new();
    session.begin().unwrap();
    session.add_event(&build.event_by(SYSTEM)).unwrap();
    crate::events::of_changes(&mut session, 0, &Stamps::new(clock(1))).unwrap();
    thread::sleep(Duration::from_millis(1500));
    let late = session.run(AnyConnection::commit_transaction);
    assert!(late.is_err());
    let db = open(&url, AuditMode::Strict, 1);
    let all = page(&db, EventFilter::all(AuditVisibility::All), None).await;
    assert_eq!(all, []);
}
