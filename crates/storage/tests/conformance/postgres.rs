//! On a throwaway PostgreSQL; where none is installed, the test run says so loudly.

use std::time::Duration;

use keys::KeyQueries as _;
use storage::SqlDatabase;
use stores::{Database as _, StoreError};
use testkit::build::Build;
use time::OffsetDateTime;
use tokio::task::JoinSet;

fn fresh() -> Option<SqlDatabase> {
    let url = testkit::postgres::Server::shared()?
        .new_database()
        .parse()
        .unwrap();
    storage::migrate(&url).unwrap();
    Some(SqlDatabase::open(&url).unwrap())
}

testkit::conformance_tests!(fresh());

#[test]
fn migrations_go_up_down_and_up_again() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let url = server.new_database().parse().unwrap();
    let all = storage::migrate(&url).unwrap();
    assert!(!all.is_empty());
    assert!(storage::migrate(&url).unwrap().is_empty());
    storage::revert_all(&url).unwrap();
    assert!(SqlDatabase::open(&url).is_err());
    assert_eq!(storage::migrate(&url).unwrap(), all);
    SqlDatabase::open(&url).unwrap();
}

/// What the server has ended meanwhile is found out before it is used again, and a note of a key's use is
/// sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_has_ended_are_replaced() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let name = server.new_database();
    let url = name.parse().unwrap();
    storage::migrate(&url).unwrap();
    let db = SqlDatabase::open(&url).unwrap();
    let build = Build::new();
    let (id, at) = (build.id(), OffsetDateTime::UNIX_EPOCH);
    for _ in 0..3 {
        // As many at once as there can be connections.
        let notes: JoinSet<_> = (0..16)
            .map(|_| {
                let db = db.clone();
                async move { db.key_used(id, at).await }
            })
            .collect();
        notes.join_all().await.into_iter().for_each(Result::unwrap);
        let asked = db.read(|view| view.key_changes(0)).await;
        Result::<_, StoreError>::unwrap(asked);
        let ended = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_ne!(server.ask(&name, ended).trim(), "0");
        db.key_used(id, at).await.unwrap();
        // A connection that has just answered is not tested.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = db.read(|view| view.key_changes(0)).await;
        Result::<_, StoreError>::unwrap(asked);
        let event = build.event(&build.key(&build.partner()));
        db.append(Box::new(event)).await.unwrap();
        let written = db.write(|tx| tx.key_changes(0)).await;
        Result::<_, StoreError>::unwrap(written);
    }
}
