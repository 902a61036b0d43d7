//! Writing to SQLite: everything goes through one thread, which commits in groups.

use std::{num::NonZeroUsize, sync::Arc};

use audit::Event;
use ids::{EventId, KeyId};
use stores::{StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::{
    connection::{error::OpenError, url::DatabaseUrl},
    group_commit::{
        acks::AckPolicy,
        queue::{Queue, queue},
    },
    indexer::{IndexSettings, Indexing},
    session::{Session, Writing},
    stats::QueueStats,
    threads,
};

mod batch;
mod checkpoint;
mod index_writer;
mod probe;
mod sync;
mod wal;
mod work;
mod writer;

pub(crate) use index_writer::SqliteIndexWriter;
use work::{Job, Pending, Work};

/// The way to change an SQLite database. When it is dropped, the thread does what waits and ends.
pub(crate) struct SqliteWriter {
    jobs: Queue<Job>,
    _indexing: Indexing,
    #[cfg(test)]
    commits: Arc<std::sync::atomic::AtomicU64>,
}

impl SqliteWriter {
    pub(crate) fn open(
        url: &DatabaseUrl,
        ack_policy: Arc<AckPolicy>,
        batch: NonZeroUsize,
        sizes: IndexSettings,
    ) -> Result<Self, OpenError> {
        let (jobs, receiver) = queue(Arc::clone(&ack_policy));
        let writer = writer::Writer::open(url, ack_policy)?;
        let segment_counter = writer.segment_counter();
        #[cfg(test)]
        let commits = Arc::clone(&writer.commits);
        threads::spawn("sqlite-writer", move || writer.run(receiver, batch.get()))?;
        let indexing = Indexing::start(url, sizes, SqliteIndexWriter::new(&jobs), segment_counter)?;
        Ok(Self {
            jobs,
            _indexing: indexing,
            #[cfg(test)]
            commits,
        })
    }

    pub(crate) async fn write<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(work, Job::Work).await
    }

    /// Notes a use of a key, which is to take no longer than the event beside it.
    pub(crate) async fn key_used(
        &self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.run(move |tx| tx.key_touch(id, secret, at), Job::Note)
            .await
    }

    /// Makes a change before all others that wait, without a wait for the disk.
    pub(crate) async fn write_first<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answered) = oneshot::channel();
        let job = Job::Unsynced(Box::new(Pending::new(work, caller)));
        self.jobs.send_first(job)?;
        outcome(answered).await
    }

    async fn run<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
        job: impl FnOnce(Box<dyn Work>) -> Job,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answered) = oneshot::channel();
        self.jobs.send(job(Box::new(Pending::new(work, caller))))?;
        outcome(answered).await
    }

    pub(crate) async fn append(&self, event: Box<Event>) -> Result<EventId, StoreError> {
        self.jobs.append(event).await
    }

    /// What waits for the thread.
    pub(crate) fn queue_stats(&self) -> QueueStats {
        self.jobs.stats()
    }

    /// Finds out whether the thread takes changes.
    pub(crate) fn probe(&self) -> probe::WriterProbe {
        probe::WriterProbe::new(&self.jobs)
    }

    /// What an indexer makes its changes with.
    #[cfg(test)]
    pub(crate) fn index_writer(&self) -> SqliteIndexWriter {
        SqliteIndexWriter::new(&self.jobs)
    }

    /// How many transactions have been committed.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// What the writer answers.
async fn outcome<T, E: From<StoreError>>(
    answered: oneshot::Receiver<Result<T, E>>,
) -> Result<T, E> {
    answered
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(None).into()))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use audit::{AuditVisibility, Event, EventFilter};
    use ids::PageRequest;
    use stores::{Database as _, StoreError, prelude::*};
    use testkit::build::Build;

    use crate::{AuditMode, DatabaseUrl, Options, SqlDatabase, migrate};

    /// Keeps the writer busy until the sender is dropped, so that what follows gathers in the queue.
    async fn hold(database: &SqlDatabase) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let once = std::sync::Mutex::new(Some((released, begun)));
        let database = database.clone();
        tokio::spawn(async move {
            let held = database.write(move |_| {
                if let Some((released, begun)) = once.lock().unwrap().take() {
                    begun.send(()).unwrap();
                    assert!(released.recv().is_err());
                }
                Ok::<_, StoreError>(())
            });
            held.await.unwrap();
        });
        has_begun.await.unwrap();
        release
    }

    fn open(folder: &tempfile::TempDir) -> SqlDatabase {
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        SqlDatabase::open(&url).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_waits_shares_a_commit_and_a_failure_hurts_no_other() {
        const EACH: usize = 100;
        let folder = tempfile::tempdir().unwrap();
        let (database, build) = (open(&folder), Build::new());
        let key = build.key(&build.partner());
        let release = hold(&database).await;
        let before = database.commits();

        let (mut kept, mut failed, mut panicked, mut events) = (vec![], vec![], vec![], vec![]);
        let twin = build.event(&key);
        for n in 0..EACH {
            let (one, two, three) = (build.partner(), build.partner(), build.partner());
            let [a, b, c, d, e] = [(); 5].map(|()| database.clone());
            kept.push(tokio::spawn(async move {
                a.write(move |tx| tx.partner_insert(&one)).await
            }));
            failed.push(tokio::spawn(async move {
                b.write(move |tx| {
                    tx.partner_insert(&two)?;
                    Err::<(), _>(StoreError::Corrupt { what: "a test" })
                })
                .await
            }));
            if n == 0 {
                panicked.push(tokio::spawn(async move {
                    c.write(move |tx| -> Result<(), StoreError> {
                        tx.partner_insert(&three)?;
                        panic!("a panic that this test is about");
                    })
                    .await
                }));
                // Two events of one id can't both be written, and are all that can't.
                let twin = twin.clone();
                events.push(tokio::spawn(async move { d.append(Box::new(twin)).await }));
            }
            let event = if n == 1 {
                twin.clone()
            } else {
                build.event(&key)
            };
            events.push(tokio::spawn(async move { e.append(Box::new(event)).await }));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(release);

        for task in kept {
            task.await.unwrap().unwrap();
        }
        for task in failed {
            let outcome = task.await.unwrap();
            assert!(matches!(outcome, Err(StoreError::Corrupt { .. })));
        }
        for task in panicked {
            assert!(matches!(task.await.unwrap(), Err(StoreError::Panicked)));
        }
        let mut refused = 0;
        for task in events {
            refused += usize::from(task.await.unwrap().is_err());
        }
        assert_eq!(refused, 1);

        let page = PageRequest::new(1000, None);
        let partners = database.read(move |view| view.partners(page)).await;
        assert_eq!(partners.unwrap().items.len(), EACH);
        let commits = database.commits() - before;
        assert!(commits <= 5, "{commits} commits");
    }

    /// The events of a batch are written together at its end; whose event it is that can't be written
    /// must still come out.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_whose_event_can_not_be_written_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (database, build) = (open(&folder), Build::new());
        let key = build.key(&build.partner());
        let [one, two, twice] = [(); 3].map(|()| build.event(&key));
        database.append(Box::new(twice.clone())).await.unwrap();
        let release = hold(&database).await;
        let write = |event: &Event| {
            let (database, event, partner) = (database.clone(), event.clone(), build.partner());
            tokio::spawn(async move {
                let id = partner.id;
                let written = database.write(move |tx| {
                    tx.partner_insert(&partner)?;
                    tx.event_record(&event).map(drop)
                });
                let written = written.await.is_ok();
                let kept = database.read(move |view| view.partner(id)).await.unwrap();
                assert_eq!(kept.is_some(), written);
                written
            })
        };
        let tasks = [write(&one), write(&twice)];
        let appended = tokio::spawn({
            let (database, two) = (database.clone(), two.clone());
            async move { database.append(Box::new(two)).await.is_ok() }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(release);
        let [first, second] = tasks;
        assert!(first.await.unwrap());
        assert!(!second.await.unwrap());
        assert!(appended.await.unwrap());
        let all = EventFilter::all(AuditVisibility::All);
        let page = PageRequest::new(10, None);
        let listed = database.read(move |view| view.events(&all, page)).await;
        assert_eq!(listed.unwrap().items, [twice, two, one]);
    }

    /// Those who are answered ahead of their events could fill the queue while the disk stalls for a
    /// moment, and then everybody would be refused.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_few_who_never_stop_are_not_refused_while_the_writer_stands_still() {
        let folder = tempfile::tempdir().unwrap();
        let build = Build::new();
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        let options = Options {
            audit: AuditMode::Relaxed,
            ..Options::default()
        };
        let database = SqlDatabase::open_with(&url, options).unwrap();
        let key = build.key(&build.partner());
        let release = hold(&database).await;
        let callers: Vec<_> = (0..64)
            .map(|_| {
                let database = database.clone();
                let events: Vec<_> = (0..100).map(|_| Box::new(build.event(&key))).collect();
                tokio::spawn(async move {
                    for event in events {
                        database.append(event).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(release);
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        database.settle().await.unwrap();
        assert_eq!(database.lost_events(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_refuses_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (database, build) = (open(&folder), Build::new());
        let key = build.key(&build.partner());
        let release = hold(&database).await;
        let waiting: Vec<_> = (0..crate::group_commit::queue::CAPACITY)
            .map(|_| {
                let (database, event) = (database.clone(), build.event(&key));
                tokio::spawn(async move { database.append(Box::new(event)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let outcome = database.append(Box::new(build.event(&key))).await;
        assert!(matches!(outcome, Err(StoreError::Overloaded)));
        drop(release);
        for task in waiting {
            task.await.unwrap().unwrap();
        }
    }
}
