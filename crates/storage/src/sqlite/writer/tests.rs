use std::{
    io,
    sync::{Mutex, atomic::Ordering::SeqCst, mpsc},
};

use diesel::connection::SimpleConnection as _;
use ids::EventId;
use stores::prelude::*;
use testkit::build::Build;
use tokio::sync::oneshot;

use super::{super::work::Pending, *};
use crate::{
    group_commit::acks::{Ack, AuditMode},
    migrate,
    tables::meta,
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

/// An idle server's reports must not have the disk synced every second.
#[test]
fn what_a_crash_may_undo_is_answered_without_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = || Err(io::Error::other("nobody asks the disk"));
    let mut writer = on_disk(&folder, disk);
    let build = Build::new();
    let partner = build.partner();
    let (caller, answer) = oneshot::channel();
    let (id, added) = (partner.id, partner);
    let work = move |tx: &mut Session<Writing>| tx.partner_insert(&added);
    let job = Job::Unsynced(Box::new(Pending::new(work, caller)));
    let batch = batch_of(&writer, job);
    writer.write(batch);
    answer.blocking_recv().unwrap().unwrap();
    assert!(!writer.syncer.has_failed());
    assert!(writer.session.partner(id).unwrap().is_some());
    // Together with what must be durable it waits for the disk.
    assert!(write(&mut writer, &build, false).is_err());
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
        let work = |tx: &mut Session<Writing>| tx.run(meta::try_to_write);
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
