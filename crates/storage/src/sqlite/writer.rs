//! The thread that owns the write connection.
//!
//! A commit waits for the disk, and that takes longer than all else. So the writer takes whatever waits,
//! does all of it in one transaction, and commits once. A closure that fails or panics is undone and hurts
//! no other: when there is one, all is done once more, each closure under a savepoint of its own.

#[cfg(test)]
use std::sync::atomic::AtomicU64;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use stores::StoreError;

use super::{
    batch::{Batch, Failed},
    checkpoint::Checkpoints,
    sync::{self, Committed, Disk, Syncer},
    work::{Job, Way},
};
use crate::{
    dialect,
    error::OpenError,
    group_commit::acks::AckPolicy,
    group_commit::queue::Receiver,
    indexer::SegmentCounter,
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// How long the writer tries to empty the log before those who wait are told to come again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a batch runs whose events were not written in time.
const ATTEMPTS: u32 = 3;

/// The owner of the write connection.
pub(super) struct Writer {
    url: DatabaseUrl,
    session: Session<Writing>,
    checkpoints: Checkpoints,
    /// Has one more with each commit, which adds a segment at the most, or a few.
    segment_counter: SegmentCounter,
    syncer: Syncer<Batch>,
    ack_policy: Arc<AckPolicy>,
    #[cfg(test)]
    pub(super) commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn open(url: &DatabaseUrl, ack_policy: Arc<AckPolicy>) -> Result<Self, OpenError> {
        let disks = [sync::disk_of(url), sync::disk_of(url)];
        Self::open_on(disks, url, ack_policy)
    }

    fn open_on(
        disks: [Disk; 2],
        url: &DatabaseUrl,
        ack_policy: Arc<AckPolicy>,
    ) -> Result<Self, OpenError> {
        let session = connect(url).map_err(|source| OpenError::Unreachable {
            url: url.to_string(),
            source,
        })?;
        Ok(Self {
            url: url.clone(),
            session,
            checkpoints: Checkpoints::open(url)?,
            segment_counter: SegmentCounter::default(),
            syncer: Syncer::start(disks)?,
            ack_policy,
            #[cfg(test)]
            commits: Arc::default(),
        })
    }

    /// Where the writer tells that there may be more to index.
    pub(super) fn segment_counter(&self) -> SegmentCounter {
        Arc::clone(&self.segment_counter)
    }

    /// Works until nobody can send any more and all that was sent is done; at most `batch` jobs share
    /// a commit.
    pub(super) fn run(mut self, mut receiver: Receiver<Job>, batch: usize) {
        let mut jobs = Vec::with_capacity(batch);
        while receiver.receive(&mut jobs, batch) > 0 {
            let batch = Batch::new(jobs.drain(..), Arc::clone(&self.ack_policy));
            // Closures are guarded one by one. Should all the same something panic, its callers learn
            // it from the answers that never come, and the thread lives on.
            if catch_unwind(AssertUnwindSafe(|| self.write(batch))).is_err() {
                tracing::error!("the writer panicked");
                self.reconnect();
            }
        }
    }

    fn write(&mut self, mut batch: Batch) {
        if self.session.is_broken() {
            self.reconnect();
        }
        if self.syncer.has_failed()
            && let Err(error) = self.empty_log()
        {
            return batch.answer(&Err(error));
        }
        self.session.forget_events();
        let mut way = Way::Straight;
        let mut attempt = 1;
        self.session.forget_conflict();
        let outcome = loop {
            way = match self.session.nested(|session| batch.run(session, way)) {
                Ok(()) => break Ok(()),
                // Hardly any closure fails; the others have done nothing wrong.
                Err(Failed::Work) => Way::Guarded,
                // The process was stopped between the stamps and the segments.
                Err(Failed::Store(_)) if self.session.forget_conflict() && attempt < ATTEMPTS => {
                    attempt += 1;
                    way
                }
                // Somebody's event can't be written, and it is the same with that.
                Err(Failed::Store(error)) if way != Way::Apart && !error.is_temporary() => {
                    Way::Apart
                }
                Err(Failed::Store(error)) => break Err(error),
            };
        };
        match &outcome {
            Ok(()) => {
                #[cfg(test)]
                self.commits.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(%error, cause, jobs = batch.len(), "a batch was not written");
            }
        }
        if outcome.is_err() || batch.only_probes() {
            batch.answer(&outcome);
            return;
        }
        // Changes take the writer so long that it is worth another thread's time to go on with the next.
        if batch.changes() {
            self.syncer.beside(batch);
        } else {
            self.syncer.here(batch);
        }
        self.segment_counter.fetch_add(1, Ordering::Relaxed);
        self.checkpoints.committed(&mut self.session);
    }

    /// Has all of the log moved into the file, so that what comes next does not stand on what may not be
    /// there.
    fn empty_log(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        while !self.session.run(dialect::empty_log)? {
            // The engine does not wait for another checkpoint, or whoever reads for long.
            if begun.elapsed() > PATIENCE {
                return Err(StoreError::Overloaded);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.syncer.begins_anew();
        Ok(())
    }

    /// Replaces a connection of no more use. When that fails, it fails again with the next batch.
    fn reconnect(&mut self) {
        match connect(&self.url) {
            Ok(session) => self.session = session,
            Err(error) => tracing::error!(%error, "the writer can't open the database again"),
        }
    }
}

/// A connection whose commits leave the wait for the disk to the [`Syncer`].
fn connect(url: &DatabaseUrl) -> Result<Session<Writing>, StoreError> {
    let mut session = Session::connect(url)?;
    session.run(dialect::commit_without_waiting)?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Mutex, atomic::Ordering::SeqCst, mpsc},
    };

    use diesel::connection::SimpleConnection as _;
    use ids::EventId;
    use keys::{KeyQueries as _, KeyStore as _};
    use testkit::build::Build;
    use tokio::sync::oneshot;

    use super::{super::work::Pending, *};
    use crate::{
        group_commit::acks::{Ack, AuditMode},
        migrate,
    };

    type Answer<T = ()> = oneshot::Receiver<Result<T, StoreError>>;

    fn batch_of(writer: &Writer, job: Job) -> Batch {
        Batch::new([job].into_iter(), Arc::clone(&writer.ack_policy))
    }

    /// A batch with a new partner, and where its answer comes.
    fn new_partner(writer: &Writer, build: &Build) -> (Batch, Answer) {
        let partner = build.partner();
        let (caller, answer) = oneshot::channel();
        let work = move |tx: &mut Session<Writing>| tx.partner_insert(&partner);
        let job = Job::Work(Box::new(Pending::new(work, caller)));
        (batch_of(writer, job), answer)
    }

    /// A batch with an event alone, and where its answer comes.
    fn new_event(writer: &Writer, build: &Build) -> (Batch, Answer<EventId>) {
        let event = Box::new(build.event(&build.key(&build.partner())));
        let (caller, answer) = oneshot::channel();
        let job = Job::Event(event, Ack::Caller(caller));
        (batch_of(writer, job), answer)
    }

    fn write(writer: &mut Writer, build: &Build, event: bool) -> Result<(), StoreError> {
        if event {
            let (batch, answer) = new_event(writer, build);
            writer.write(batch);
            return answer.blocking_recv().unwrap().map(drop);
        }
        let (batch, answer) = new_partner(writer, build);
        writer.write(batch);
        answer.blocking_recv().unwrap()
    }

    fn migrated(folder: &tempfile::TempDir) -> DatabaseUrl {
        let file = folder.path().join("cp.db");
        let url: DatabaseUrl = format!("sqlite:{}", file.display()).parse().unwrap();
        migrate(&url).unwrap();
        url
    }

    fn on_disk(
        folder: &tempfile::TempDir,
        disk: impl Fn() -> io::Result<()> + Clone + Send + 'static,
    ) -> Writer {
        let url = migrated(folder);
        let disks: [Disk; 2] = [Box::new(disk.clone()), Box::new(disk)];
        Writer::open_on(disks, &url, AckPolicy::new(AuditMode::Strict)).unwrap()
    }

    #[test]
    fn nobody_is_answered_before_the_disk_has_it_and_changes_go_on_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (release, released) = mpsc::channel();
        let released = Arc::new(Mutex::new(released));
        let disk = move || released.lock().unwrap().recv().map_err(io::Error::other);
        let mut writer = on_disk(&folder, disk);
        let build = Build::new();
        let before = writer.commits.load(SeqCst);
        let (batch, mut first) = new_partner(&writer, &build);
        writer.write(batch);
        let (batch, mut event) = new_event(&writer, &build);
        let commits = Arc::clone(&writer.commits);
        let rest = thread::spawn(move || writer.write(batch));
        while commits.load(SeqCst) < before + 2 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(50));
        assert!(first.try_recv().is_err() && event.try_recv().is_err());
        release.send(()).unwrap();
        release.send(()).unwrap();
        first.blocking_recv().unwrap().unwrap();
        event.blocking_recv().unwrap().unwrap();
        rest.join().unwrap();
    }

    #[test]
    fn after_a_failed_sync_all_of_the_log_goes_into_the_file_before_anybody_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let failures = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&failures);
        let disk = move || match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(io::Error::other("a failure that this test is about")),
            Err(_) => Ok(()),
        };
        let mut writer = on_disk(&folder, disk);
        let build = Build::new();
        let log = folder.path().join("cp.db-wal");
        let mut written = |event: bool, build: &Build| {
            let outcome = write(&mut writer, build, event);
            (outcome.is_ok(), log.metadata().unwrap().len())
        };
        for event in [false, true] {
            for _ in 0..20 {
                assert!(written(event, &build).0);
            }
            let (durable, long) = written(event, &build);
            assert!(durable);
            failures.store(1, SeqCst);
            assert!(!written(event, &build).0);
            let (durable, anew) = written(true, &build);
            assert!(durable);
            assert!(anew < long, "{anew} of {long} bytes");
        }
    }

    /// SQLite opens a file that can't be written all the same, and refuses each change. The connection is
    /// made anew until one takes changes again.
    #[test]
    fn a_file_that_can_not_be_written_is_opened_again_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = on_disk(&folder, || Ok(()));
        let build = Build::new();
        let read_only = "PRAGMA query_only = ON";
        writer.session.run(|c| c.batch_execute(read_only)).unwrap();
        for event in [false, true] {
            writer.session.run(|c| c.batch_execute(read_only)).unwrap();
            let refused = write(&mut writer, &build, event).unwrap_err();
            assert!(refused.is_temporary(), "{refused:?}");
            write(&mut writer, &build, event).unwrap();
        }
        let probe = |writer: &mut Writer| {
            let (caller, answer) = oneshot::channel();
            let work = |tx: &mut Session<Writing>| tx.run(dialect::server::try_to_write);
            let job = Job::Probe(Box::new(Pending::new(work, caller)));
            let batch = batch_of(writer, job);
            writer.write(batch);
            answer.blocking_recv().unwrap()
        };
        let commits = writer.segment_counter.load(Ordering::Relaxed);
        writer.session.run(|c| c.batch_execute(read_only)).unwrap();
        assert!(probe(&mut writer).is_err());
        probe(&mut writer).unwrap();
        assert_eq!(writer.segment_counter.load(Ordering::Relaxed), commits);
    }

    /// A disk that is full makes SQLite give up the whole transaction in the middle of a batch. Nothing
    /// of the batch may be kept, for its callers are told so, and the writer must live on.
    #[test]
    fn a_full_disk_fails_a_batch_as_a_whole_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let url = migrated(&folder);
        let mut writer = Writer::open(&url, AckPolicy::new(AuditMode::Strict)).unwrap();
        let limit = |writer: &mut Writer, pages: u32| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            writer.session.run(|c| c.batch_execute(&pragma)).unwrap();
        };
        // Migrations have left pages free.
        let vacuumed = writer.session.run(|c| c.batch_execute("VACUUM"));
        vacuumed.unwrap();
        limit(&mut writer, 1);

        let build = Build::new();
        let key = build.key(&build.partner());
        let write = |writer: &mut Writer, partners: usize, events: usize| {
            let (mut jobs, mut ids) = (vec![], vec![]);
            let mut answers: Vec<Box<dyn FnOnce() -> bool>> = vec![];
            for n in 0..partners.max(events) {
                if n < partners {
                    let partner = build.partner();
                    ids.push(partner.id);
                    let (caller, answer) = oneshot::channel();
                    let work = move |tx: &mut Session<Writing>| tx.partner_insert(&partner);
                    jobs.push(Job::Work(Box::new(Pending::new(work, caller))));
                    answers.push(Box::new(|| answer.blocking_recv().unwrap().is_ok()));
                }
                if n < events {
                    let (caller, answer) = oneshot::channel();
                    let event = Box::new(build.event(&key));
                    jobs.push(Job::Event(event, Ack::Caller(caller)));
                    answers.push(Box::new(|| answer.blocking_recv().unwrap().is_ok()));
                }
            }
            let ack_policy = Arc::clone(&writer.ack_policy);
            writer.write(Batch::new(jobs.into_iter(), ack_policy));
            let outcomes: Vec<_> = answers.into_iter().map(|answer| answer()).collect();
            (outcomes, ids)
        };

        let (outcomes, ids) = write(&mut writer, 400, 100);
        assert_eq!(outcomes, [false; 500]);
        for id in ids {
            assert!(writer.session.partner(id).unwrap().is_none());
        }
        let (outcomes, _) = write(&mut writer, 0, 400);
        assert_eq!(outcomes, [false; 400]);

        limit(&mut writer, 1_000_000);
        let (outcomes, ids) = write(&mut writer, 2, 2);
        assert_eq!(outcomes, [true; 4]);
        for id in ids {
            assert!(writer.session.partner(id).unwrap().is_some());
        }
    }
}
