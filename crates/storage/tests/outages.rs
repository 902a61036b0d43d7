//! What callers meet with while the database is overloaded, read-only, silent or gone, and that it is
//! right again afterwards.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::{
    path::Path,
    sync::{Arc, LazyLock, Mutex, mpsc},
    time::{Duration, Instant},
};

use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::{
    build::Build,
    postgres::{PgBouncer, Server},
};

/// How long a caller may be kept waiting, and how long an outage may outlast its cause.
const LIMIT: Duration = Duration::from_secs(10);

fn opened(url: &str) -> SqlDatabase {
    let url = url.parse().unwrap();
    storage::migrate(&url).unwrap();
    SqlDatabase::open(&url).unwrap()
}

fn on_sqlite(folder: &Path) -> SqlDatabase {
    opened(&format!("sqlite:{}/cp.db", folder.display()))
}

async fn append(db: &SqlDatabase) -> Result<(), StoreError> {
    /// One for all, for its ids are its own alone.
    static BUILD: LazyLock<Build> = LazyLock::new(Build::new);
    let event = BUILD.event(&BUILD.key(&BUILD.partner()));
    db.append(Box::new(event)).await.map(drop)
}

async fn write(db: &SqlDatabase) -> Result<u64, StoreError> {
    db.write(|tx| Ok(tx.key_changes(0)?.revision)).await
}

async fn read(db: &SqlDatabase) -> Result<u64, StoreError> {
    db.read(|view| Ok(view.key_changes(0)?.revision)).await
}

async fn follow(db: &SqlDatabase) -> Result<u64, StoreError> {
    db.read_control(|view| Ok(view.key_changes(0)?.revision))
        .await
}

/// Waits until something holds.
async fn within<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All readers are busy and more wait: the control connection answers all the same.
async fn control_goes_on_beside_busy_readers(db: SqlDatabase) {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let (db, released) = (db.clone(), Arc::clone(&released));
            tokio::spawn(async move {
                db.read(move |_| {
                    let _ = released.lock().unwrap().recv();
                    Ok::<_, StoreError>(())
                })
                .await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        follow(&db).await.unwrap();
    }
    within("the database is ready", async || db.readiness().is_ok()).await;
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    drop(release);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_goes_on_beside_busy_readers_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    control_goes_on_beside_busy_readers(on_sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_goes_on_beside_busy_readers_of_postgres() {
    let Some(server) = Server::shared() else {
        return;
    };
    control_goes_on_beside_busy_readers(opened(&server.new_database())).await;
}

/// Every change fails for now, and the database is not ready; afterwards it is right again.
async fn is_read_only_meanwhile(
    db: SqlDatabase,
    make_read_only: impl FnOnce(),
    make_writable: impl FnOnce(),
) {
    follow(&db).await.unwrap();
    append(&db).await.unwrap();
    write(&db).await.unwrap();
    within("the database is ready", async || db.readiness().is_ok()).await;
    make_read_only();
    within("it is not ready", async || db.readiness().is_err()).await;
    for _ in 0..3 {
        assert!(append(&db).await.unwrap_err().is_temporary());
        let written = db
            .write(|tx| tx.pepper_check_replace(None, "another"))
            .await;
        let refused: StoreError = written.unwrap_err();
        assert!(refused.is_temporary());
    }
    assert!(db.readiness().is_err());
    make_writable();
    within("events can be appended", async || append(&db).await.is_ok()).await;
    within("changes can be made", async || write(&db).await.is_ok()).await;
    within("the database is ready", async || db.readiness().is_ok()).await;
    read(&db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_unavailable_until_it_takes_changes() {
    let Some(server) = Server::start() else {
        return;
    };
    let set = |value: &str| {
        server.sql(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = {value}"
        ));
        server.sql("SELECT pg_reload_conf()");
    };
    let db = opened(&server.new_database());
    is_read_only_meanwhile(db, || set("on"), || set("off")).await;
}

/// The server is there and says nothing: its processes are stopped, as those of a host that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_long_for_a_silent_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let db = opened(&server.new_database());
    follow(&db).await.unwrap();
    append(&db).await.unwrap();
    within("the database is ready", async || db.readiness().is_ok()).await;
    server.pause();
    let begun = Instant::now();
    let calls = || {
        let db = db.clone();
        tokio::spawn(async move {
            let outcomes = tokio::join!(read(&db), write(&db), append(&db), follow(&db));
            let temporary = |outcome: Option<&StoreError>| outcome.unwrap().is_temporary();
            assert!(temporary(outcomes.0.as_ref().err()));
            assert!(temporary(outcomes.1.as_ref().err()));
            assert!(temporary(outcomes.2.as_ref().err()));
            assert!(temporary(outcomes.3.as_ref().err()));
        })
    };
    let calls: Vec<_> = (0..100).map(|_| calls()).collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert!(db.readiness().is_err());
    server.resume();
    within("events can be appended", async || append(&db).await.is_ok()).await;
    within("changes can be made", async || write(&db).await.is_ok()).await;
    within("questions are answered", async || read(&db).await.is_ok()).await;
    within("changes are followed", async || follow(&db).await.is_ok()).await;
    within("the database is ready", async || db.readiness().is_ok()).await;
}

/// Everything that is set on a session, and its locks, would be somebody else's there.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_serves() {
    let Some(server) = Server::shared() else {
        return;
    };
    let url = server.new_database();
    let Some(pooler) = PgBouncer::start(server, "transaction") else {
        return;
    };
    let through: storage::DatabaseUrl = pooler.url(server, &url).parse().unwrap();
    for _ in 0..3 {
        let refused = storage::migrate(&through).unwrap_err().to_string();
        assert!(refused.contains("transaction mode"), "{refused}");
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.ask(&url, tables).trim(), "0");
    drop(opened(&url));
    let Err(refused) = SqlDatabase::open(&through) else {
        panic!("it is not refused");
    };
    assert!(
        refused
            .to_string()
            .contains("MOLECULE_CP_DIRECT_DATABASE_URL")
    );
    // A direct URL that is none, and one of another database.
    let also_pooled = through.clone().with_direct(&through).unwrap();
    let Err(refused) = SqlDatabase::open(&also_pooled) else {
        panic!("it is not refused");
    };
    assert!(
        refused.to_string().contains("transaction mode"),
        "{refused}"
    );
    let elsewhere = through.with_direct(&server.new_database().parse().unwrap());
    let Err(refused) = SqlDatabase::open(&elsewhere.unwrap()) else {
        panic!("it is not refused");
    };
    assert!(
        refused.to_string().contains("different databases"),
        "{refused}"
    );

    let pooler = PgBouncer::start(server, "session").unwrap();
    let db = opened(&pooler.url(server, &url));
    follow(&db).await.unwrap();
    append(&db).await.unwrap();
    write(&db).await.unwrap();
    within("the database is ready", async || db.readiness().is_ok()).await;
}
