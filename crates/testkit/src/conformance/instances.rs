//! The rows of instances.

use ids::PageRequest;
use instances::Instance;
use stores::{Database, prelude::*};
use time::Duration;

use super::fixture::{ALL, Fixture, at, at_once, ids_of};

async fn report<D: Database>(fixture: &Fixture<D>, instance: &Instance) {
    let instance = instance.clone();
    fixture.write(move |tx| tx.instance_report(&instance)).await;
}

async fn seen_since<D: Database>(fixture: &Fixture<D>, micros: i64) -> Vec<Instance> {
    let list = fixture.read(move |view| view.instances(at(micros), ALL));
    list.await.items
}

pub async fn an_instance_keeps_all_its_fields_and_reports_replace_what_may_change<D: Database>(
    db: D,
) {
    let fixture = Fixture::new(db);
    let plain = fixture.build.instance();
    report(&fixture, &plain).await;
    let seen = seen_since(&fixture, 0).await;
    assert_eq!(seen.first(), Some(&plain));
    let full = Instance {
        admin_key_id: Some(fixture.build.id()),
        lag_ms: Some(40),
        ..fixture.build.instance()
    };
    report(&fixture, &full).await;
    let later = Instance {
        last_seen_at: at(1_000_000),
        revision: 9,
        lag_ms: Some(7),
        clock_skew_ms: -2500,
        ..plain.clone()
    };
    report(&fixture, &later).await;
    assert_eq!(seen_since(&fixture, 0).await, [full, later]);
}

pub async fn instances_are_listed_newest_first_while_they_report<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let mut live = Vec::new();
    for second in 0..5 {
        let instance = Instance {
            last_seen_at: at(second * 1_000_000),
            ..fixture.build.instance()
        };
        report(&fixture, &instance).await;
        if second >= 2 {
            live.insert(0, instance.id);
        }
    }
    fixture
        .check_pages(
            &live,
            |instance: &Instance| instance.id,
            |view, page: PageRequest| view.instances(at(2_000_000), page),
        )
        .await;
    let none = seen_since(&fixture, 4_000_001).await;
    assert!(none.is_empty(), "{none:?}");
}

pub async fn an_instance_leaves_and_old_rows_are_pruned<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let seen = |second: i64| Instance {
        last_seen_at: at(second * 1_000_000),
        ..fixture.build.instance()
    };
    let [one, two, three, four] = [1, 2, 3, 4].map(seen);
    for instance in [&one, &two, &three, &four] {
        report(&fixture, instance).await;
    }
    let id = four.id;
    fixture.write(move |tx| tx.instance_remove(id)).await;
    fixture.write(move |tx| tx.instance_remove(id)).await;
    let pruned = fixture.write(|tx| tx.instances_prune(at(3_000_000))).await;
    assert_eq!(pruned, 2);
    let left = seen_since(&fixture, 0).await;
    assert_eq!(ids_of(&left, |it| it.id), [three.id]);
}

/// Reports go on whatever callers ask for, and can be read at once.
pub async fn a_report_by_the_servers_own_way_is_seen_at_once<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let instance = fixture.build.instance();
    for revision in 1..=20 {
        let reported = Instance {
            revision,
            ..instance.clone()
        };
        let expect = reported.clone();
        let written = fixture.db.write_control(move |tx| {
            tx.instance_report(&reported)?;
            tx.instances(at(0), ALL)
        });
        let seen: Result<_, stores::StoreError> = written.await;
        assert_eq!(seen.unwrap().items.first(), Some(&expect));
        let read = fixture.db.read_control(|view| view.instances(at(0), ALL));
        let seen: Result<_, stores::StoreError> = read.await;
        assert_eq!(seen.unwrap().items, [expect]);
    }
}

/// What fails or panics changes nothing, and the next report works.
pub async fn a_report_that_fails_leaves_nothing_behind<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (failed, panicked) = (fixture.build.instance(), fixture.build.instance());
    let written = fixture.db.write_control(move |tx| {
        tx.instance_report(&failed)?;
        Err::<(), _>(stores::StoreError::Overloaded)
    });
    assert!(matches!(written.await, Err(stores::StoreError::Overloaded)));
    let written = fixture
        .db
        .write_control(move |tx| -> Result<(), stores::StoreError> {
            tx.instance_report(&panicked)?;
            panic!("a panic that this test is about");
        });
    assert!(matches!(written.await, Err(stores::StoreError::Panicked)));
    let good = fixture.build.instance();
    let reported = good.clone();
    let written = fixture
        .db
        .write_control(move |tx| tx.instance_report(&reported));
    let outcome: Result<(), stores::StoreError> = written.await;
    outcome.unwrap();
    assert_eq!(seen_since(&fixture, 0).await, [good]);
}

/// Of starts at the same time each sees those before it.
pub async fn starts_come_one_after_the_other<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let (db, build) = (fixture.db.clone(), &fixture.build);
    let counts = at_once(8, move |_| {
        let (db, own) = (db.clone(), build.instance());
        async move {
            let start = db.write(move |tx| {
                tx.instances_lock()?;
                let before = tx.instances(at(0), ALL)?.items.len();
                tx.instance_report(&own)?;
                Ok::<_, stores::StoreError>(before)
            });
            start.await.unwrap()
        }
    });
    let mut counts = counts.await;
    counts.sort_unstable();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// Instances on several machines compare the one clock that they share.
pub async fn the_servers_clock_goes_on<D: Database>(db: D) {
    let fixture = Fixture::new(db);
    let first = fixture.read(|view| view.server_time()).await;
    let second = fixture.write(|tx| tx.server_time()).await;
    match (first, second) {
        (None, None) => {}
        (Some(first), Some(second)) => {
            assert!(first < second && second - first < Duration::minutes(1));
        }
        odd => panic!("{odd:?}"),
    }
}
