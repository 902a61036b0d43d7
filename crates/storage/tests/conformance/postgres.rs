//! On a throwaway PostgreSQL; where none is installed, the test run says so loudly.

use std::{sync::OnceLock, time::Duration};

use keys::{OnRevoke, RevocationReason};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::Build;
use time::OffsetDateTime;
use tokio::task::JoinSet;

/// A database that has its tables; a copy is made in a fifth of the time.
pub(super) fn migrated() -> Option<String> {
    static ORIGINAL: OnceLock<String> = OnceLock::new();
    let server = testkit::postgres::Server::shared()?;
    let original = ORIGINAL.get_or_init(|| {
        let url = server.new_database();
        storage::migrate(&url.parse().unwrap()).unwrap();
        url
    });
    Some(server.copy_of(original))
}

fn fresh() -> Option<SqlDatabase> {
    let url = migrated()?.parse().unwrap();
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
                async move { db.key_used(id, None, at).await }
            })
            .collect();
        notes.join_all().await.into_iter().for_each(Result::unwrap);
        let asked = db.read(|view| view.key_changes(0)).await;
        Result::<_, StoreError>::unwrap(asked);
        let ended = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_ne!(server.ask(&name, ended).trim(), "0");
        db.key_used(id, None, at).await.unwrap();
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

/// Those who create orgs with a key have it in use one after the other, without end; whoever revokes or
/// changes it, or its partner, waits for none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_use_is_changed_and_revoked_at_once() {
    let Some(db) = fresh() else { return };
    let build = Build::new();
    let (partner, digest) = (build.partner(), build.digest());
    let key = build.key(&partner);
    let (id, inserted) = (key.id, partner.clone());
    let written = db.write(move |tx| {
        tx.partner_insert(&inserted)?;
        tx.key_insert(&key, &digest)
    });
    Result::<(), StoreError>::unwrap(written.await);
    let (in_use, used) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let user = {
        let db = db.clone();
        tokio::spawn(async move {
            let used = db.write(move |tx| {
                let found = tx.keys_for_use(&[id])?.len();
                in_use.send(()).unwrap();
                ended.lock().unwrap().recv().unwrap();
                Ok::<_, StoreError>(found)
            });
            used.await.unwrap()
        })
    };
    tokio::task::spawn_blocking(move || used.recv().unwrap())
        .await
        .unwrap();
    let changed = db.write(move |tx| {
        let partner = tx.partner_for_update(partner.id)?.unwrap();
        tx.partner_update(&partner)?;
        let key = tx.key_for_update(id)?.unwrap().key;
        tx.key_update(&key)
    });
    Result::<(), StoreError>::unwrap(changed.await);
    let revoked = db.write(move |tx| {
        tx.key_for_update(id)?;
        tx.key_revoke(
            id,
            OffsetDateTime::UNIX_EPOCH,
            RevocationReason::Unspecified,
            OnRevoke::Delete,
        )
    });
    assert!(Result::<bool, StoreError>::unwrap(revoked.await));
    let awaiting = {
        let db = db.clone();
        tokio::spawn(async move { db.write(move |tx| tx.key_wait_for_inflight(id)).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!awaiting.is_finished(), "the key is in use still");
    end.send(()).unwrap();
    assert_eq!(user.await.unwrap(), 1);
    Result::<(), StoreError>::unwrap(awaiting.await.unwrap());
}
