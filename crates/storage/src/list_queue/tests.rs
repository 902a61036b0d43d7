use std::sync::mpsc;

use ids::{PageRequest, Ulid};
use stores::Database as _;

use super::{turns::MAX_WAITING_PER_CREDENTIAL, *};
use crate::{DatabaseUrl, SqlDatabase, budget::Budget, migrate};

fn load(queue: &ListQueue) -> (usize, usize) {
    let stats = queue.stats();
    (stats.running, stats.waiting)
}

fn by(owner: u128, credential: u128) -> Requester {
    Requester {
        owner: Ulid::from(owner),
        credential: Ulid::from(credential),
    }
}

/// Has a list wait, and tells its name when its turn has come.
async fn wait(
    queue: &ListQueue,
    requester: Requester,
    name: &'static str,
    turns: &tokio::sync::mpsc::UnboundedSender<(&'static str, ListPermit)>,
) -> tokio::task::JoinHandle<()> {
    let (queue, turns) = (queue.clone(), turns.clone());
    let before = queue.stats().waiting;
    let waits = queue.clone();
    let task = tokio::spawn(async move {
        let permit = waits.acquire(requester).await.unwrap();
        turns.send((name, permit)).unwrap();
    });
    while queue.stats().waiting == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn lists_hold_half_of_the_readers_and_one_partner_half_of_that() {
    let queue = ListQueue::new(8);
    let first = queue.acquire(by(1, 1)).await.unwrap();
    let _second = queue.acquire(by(1, 2)).await.unwrap();
    let (turns, mut told) = tokio::sync::mpsc::unbounded_channel();
    wait(&queue, by(1, 3), "third", &turns).await;
    // Another partner passes it.
    let _others = [
        queue.acquire(by(2, 1)).await.unwrap(),
        queue.acquire(by(3, 1)).await.unwrap(),
    ];
    assert_eq!(load(&queue), (4, 1));
    drop(first);
    let (name, _permit) = told.recv().await.unwrap();
    assert_eq!((name, load(&queue)), ("third", (4, 0)));
}

#[tokio::test]
async fn turns_go_round_by_partner_and_then_by_key() {
    let queue = ListQueue::new(2);
    let running = queue.acquire(by(9, 9)).await.unwrap();
    let (turns, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (requester, name) in [
        (by(1, 1), "a1"),
        (by(1, 1), "a2"),
        (by(1, 1), "a3"),
        (by(1, 2), "b1"),
        (by(2, 1), "c1"),
        (by(2, 1), "c2"),
    ] {
        wait(&queue, requester, name, &turns).await;
    }
    drop(running);
    let mut order = Vec::new();
    for _ in 0..6 {
        let (name, permit) = told.recv().await.unwrap();
        order.push(name);
        drop(permit);
    }
    assert_eq!(order, ["a1", "c1", "b1", "c2", "a2", "a3"]);
    assert_eq!(load(&queue), (0, 0));
    assert!(queue.state.lock().is_idle());
}

#[tokio::test]
async fn a_credential_with_too_many_lists_is_refused_and_no_other() {
    let queue = ListQueue::new(2);
    let _running = queue.acquire(by(1, 1)).await.unwrap();
    let (turns, _told) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..MAX_WAITING_PER_CREDENTIAL {
        wait(&queue, by(1, 1), "its own", &turns).await;
    }
    let refused = queue.acquire(by(1, 1)).await.err();
    assert!(matches!(refused, Some(StoreError::Throttled)));
    assert_eq!(queue.stats().refused, 1);
    wait(&queue, by(1, 2), "another key", &turns).await;
    wait(&queue, by(2, 1), "another partner", &turns).await;
}

#[tokio::test]
async fn whoever_has_gone_leaves_the_queue() {
    let queue = ListQueue::new(2);
    let running = queue.acquire(by(1, 1)).await.unwrap();
    let (turns, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in 0..MAX_WAITING_PER_CREDENTIAL {
        tasks.push(wait(&queue, by(1, 1), "gone", &turns).await);
    }
    for task in tasks {
        task.abort();
        assert!(task.await.is_err());
    }
    assert_eq!(load(&queue), (1, 0));
    wait(&queue, by(1, 1), "there", &turns).await;
    drop(running);
    let (name, permit) = told.recv().await.unwrap();
    assert_eq!(name, "there");
    drop(permit);
    assert_eq!(load(&queue), (0, 0));
}

/// A database in a folder of its own, which lives as long as the second part.
fn database() -> (SqlDatabase, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.db");
    let url: DatabaseUrl = format!("sqlite:{}", path.display()).parse().unwrap();
    migrate(&url).unwrap();
    (SqlDatabase::open(&url).unwrap(), folder)
}

async fn eventually(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_read_ends_when_nobody_waits_for_it() {
    let (db, _folder) = database();
    let (ended, has_ended) = mpsc::channel();
    let (begun, has_begun) = oneshot::channel();
    let reader = db.clone();
    let list = tokio::spawn(async move {
        let work = move |session: &mut Session<Reading>| -> Result<(), StoreError> {
            begun.send(()).unwrap();
            let budget = Budget::of(PageRequest::new(1, None));
            loop {
                if let Err(error) = session.must_stop(&budget) {
                    ended.send(()).unwrap();
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        reader.read_list(by(1, 1), work).await
    });
    // It counts as running before a thread reads it.
    has_begun.await.unwrap();
    assert_eq!(db.list_stats().running, 1);
    list.abort();
    has_ended.recv_timeout(Duration::from_secs(60)).unwrap();
    eventually(|| db.list_stats().running == 0).await;
    assert_eq!(db.list_stats().abandoned, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_does_not_wait_for_lists() {
    let (db, _folder) = database();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    for owner in 0..40 {
        let (reader, released) = (db.clone(), Arc::clone(&released));
        tokio::spawn(async move {
            let work = move |_: &mut Session<Reading>| -> Result<(), StoreError> {
                // Until the sender is dropped.
                assert!(released.lock().recv().is_err());
                Ok(())
            };
            drop(reader.read_list(by(owner, owner), work).await);
        });
    }
    eventually(|| db.list_stats().waiting > 20).await;
    for _ in 0..100 {
        let read: Result<(), StoreError> = db.read(|_| Ok(())).await;
        read.unwrap();
    }
    assert!(db.list_stats().waiting > 20);
    drop(release);
    eventually(|| db.list_stats() == ListStats::default()).await;
}
