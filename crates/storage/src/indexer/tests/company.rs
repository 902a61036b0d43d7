//! On PostgreSQL several processes write and index, and numbers are not given in the order of commits.

use diesel::connection::TransactionManager as _;
use testkit::build::Build;

use super::{
    engines::{Engine as _, OnPostgres},
    *,
};
use crate::{Writing, connection::AnyConnection, events, postgres::PostgresIndexWriter};

fn covered(fixture: &mut Fixture<OnPostgres>) -> i64 {
    fixture.reader.run(rows::covered).unwrap()
}

/// Begins a transaction that adds an event, and does not end it.
fn add(session: &mut Session<Writing>, event: &audit::Event) {
    session.begin().unwrap();
    session.add_event(event).unwrap();
    events::of_changes(session, 0, &crate::stamps::Stamps::default()).unwrap();
}

#[test]
fn a_segment_that_comes_after_its_number_is_not_passed_over() {
    let Some(mut fixture) = Fixture::<OnPostgres>::new(7) else {
        return;
    };
    let mut indexer = fixture.indexer(SMALL);
    let mut late = Session::<Writing>::connect(&fixture.url).unwrap();
    let event = fixture.event_at(0);
    fixture.add(2);
    add(&mut late, &event);
    fixture.add(5);
    for _ in 0..2 {
        assert!(!indexer.work().unwrap(), "the third may come yet");
        assert_eq!(covered(&mut fixture), 2);
        fixture.check();
    }
    late.run(AnyConnection::commit_transaction).unwrap();
    fixture.expect(&event);
    fixture.check();
    assert!(indexer.work().unwrap());
    assert_eq!(covered(&mut fixture), 8);
    (0..20).for_each(|_| fixture.check());

    // What is undone leaves its number to nobody.
    add(&mut late, &fixture.event_at(1));
    late.run(AnyConnection::rollback_transaction).unwrap();
    fixture.add(6);
    assert!(indexer.work().unwrap());
    assert_eq!(covered(&mut fixture), 15);
    (0..20).for_each(|_| fixture.check());
    fixture.is_clean();
}

#[test]
fn one_process_indexes_at_a_time() {
    let Some(mut fixture) = Fixture::<OnPostgres>::new(8) else {
        return;
    };
    fixture.add(9);
    let [mut one, mut other] = [fixture.indexer(SMALL), fixture.indexer(SMALL)];
    assert!(one.writer.acquire().unwrap());
    assert!(!other.work().unwrap());
    assert_eq!(covered(&mut fixture), 0);
    // Whoever fails in the middle is not in the way for long.
    let page = Page {
        first: vec![1],
        body: vec![0],
    };
    one.add(None, vec![page]).unwrap();
    drop(one);
    let since = Instant::now();
    // The server ends a connection that is closed when it comes to it.
    while !other.work().unwrap() {
        assert!(since.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(covered(&mut fixture), 9);
    fixture.is_clean();
    fixture.add(9);
    assert!(fixture.indexer(SMALL).work().unwrap(), "it was given back");
    assert_eq!(covered(&mut fixture), 18);
    fixture.check();
}

/// Writes events until they are indexed; whether that has come in time.
async fn write_until_indexed(
    database: &SqlDatabase,
    build: &Build,
    reader: &mut Session<Reading>,
) -> bool {
    let before = reader.run(rows::covered).unwrap();
    for _ in 0..500 {
        let event = build.event(&build.key(&build.partner()));
        stores::Database::append(database, Box::new(event))
            .await
            .unwrap();
        if reader.run(rows::covered).unwrap() > before {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[test]
fn a_process_indexes_once_another_lets_it_and_after_the_server_was_gone() {
    let Some((url, _folder)) = OnPostgres::empty() else {
        return;
    };
    migrate(&url).unwrap();
    let mut reader = Session::<Reading>::connect(&url).unwrap();
    let mut other = PostgresIndexWriter::new(&url);
    assert!(other.acquire().unwrap());
    let database = SqlDatabase::open_indexing(
        &url,
        Options::default(),
        SMALL,
        crate::stamps::Stamps::default(),
    )
    .unwrap();
    runtime().block_on(async {
        let build = Build::new();
        for _ in 0..20 {
            let event = build.event(&build.key(&build.partner()));
            stores::Database::append(&database, Box::new(event))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(reader.run(rows::covered).unwrap(), 0);
        drop(other);
        assert!(write_until_indexed(&database, &build, &mut reader).await);
        // The indexer's connections end, and it makes others.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        reader
            .run(|connection| {
                use diesel::connection::SimpleConnection as _;
                connection.batch_execute(end)
            })
            .unwrap();
        let event = build.event(&build.key(&build.partner()));
        drop(stores::Database::append(&database, Box::new(event)).await);
        assert!(write_until_indexed(&database, &build, &mut reader).await);
    });
}
