//! The wait for the disk, apart from the commit.
//!
//! SQLite commits into its write-ahead log without waiting; then the log is synced, and only after that
//! anybody is answered. So the writer goes on with the next changes while the disk takes the last ones.
//! Others may read what is not durable yet, but their own event comes later in the same log, and they are
//! answered once that is synced.

use std::{
    fs::File,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use stores::StoreError;

use crate::{
    connection::{
        error::{self, OpenError},
        url::DatabaseUrl,
    },
    threads,
};

/// Waits until all that was written to the log before is on the disk.
pub(super) type Disk = Box<dyn Fn() -> io::Result<()> + Send>;

/// What was committed, and those who wait until it is durable.
pub(super) trait Committed: Send + 'static {
    /// Tells them what became of it.
    fn answer(self, outcome: &Result<(), StoreError>);
}

/// Makes commits durable, beside the writer or in its place.
pub(super) struct Syncer<B> {
    commits: mpsc::SyncSender<B>,
    log: Log,
}

struct Log {
    disk: Disk,
    failed: Arc<AtomicBool>,
}

impl<B: Committed> Syncer<B> {
    /// Starts the thread. Two threads sync, each with a way of its own to the disk: of two who share a file
    /// the system tells only one that something could not be written.
    pub(super) fn start([beside, here]: [Disk; 2]) -> Result<Self, OpenError> {
        // With no room between: whoever hands over the next commit waits until the disk is free for it,
        // and meanwhile those after it gather.
        let (commits, waiting) = mpsc::sync_channel::<B>(0);
        let log = Log {
            disk: here,
            failed: Arc::default(),
        };
        let own = Log {
            disk: beside,
            failed: Arc::clone(&log.failed),
        };
        threads::spawn("sqlite-sync", move || {
            for commit in waiting {
                commit.answer(&own.sync());
            }
        })?;
        Ok(Self { commits, log })
    }

    /// Has a commit answered once it is durable, and returns as soon as that has begun.
    pub(super) fn beside(&self, commit: B) {
        if let Err(mpsc::SendError(commit)) = self.commits.send(commit) {
            self.here(commit);
        }
    }

    /// Makes a commit durable and answers it.
    pub(super) fn here(&self, commit: B) {
        commit.answer(&self.log.sync());
    }

    /// Whether some of the log could not be made durable. Until all of it stands in the file, nothing
    /// that comes after is durable, whatever the disk says of it.
    pub(super) fn has_failed(&self) -> bool {
        self.log.failed.load(Ordering::Acquire)
    }

    /// The log begins anew, with all that it had in the file.
    pub(super) fn begins_anew(&self) {
        self.log.failed.store(false, Ordering::Release);
    }
}

impl Log {
    fn sync(&self) -> Result<(), StoreError> {
        if let Err(error) = (self.disk)() {
            self.failed.store(true, Ordering::Release);
            tracing::error!(%error, "SQLite's log can't be made durable");
            return Err(error::unavailable(error.to_string()));
        }
        if self.failed.load(Ordering::Acquire) {
            return Err(error::unavailable(
                "what comes before it in the log could not be made durable",
            ));
        }
        Ok(())
    }
}

/// The disk under a database's log, a file that is there once there was a commit.
pub(super) fn disk_of(url: &DatabaseUrl) -> Disk {
    let mut path = url
        .sqlite_path()
        .unwrap_or("".as_ref())
        .as_os_str()
        .to_owned();
    path.push("-wal");
    let log = OnceLock::<File>::new();
    Box::new(move || {
        if let Some(log) = log.get() {
            return log.sync_data();
        }
        let opened = File::options().read(true).write(true).open(&path)?;
        log.get_or_init(|| opened).sync_data()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Committed for mpsc::Sender<bool> {
        fn answer(self, outcome: &Result<(), StoreError>) {
            self.send(outcome.is_ok()).unwrap();
        }
    }

    /// When the system could not write some pages it takes them for written, and the next sync succeeds
    /// without them.
    #[test]
    fn after_a_failure_no_sync_counts_until_the_log_begins_anew() {
        let failing = Arc::new(AtomicBool::new(false));
        let syncer = Syncer::start([(), ()].map(|()| -> Disk {
            let failing = Arc::clone(&failing);
            Box::new(move || {
                if failing.swap(false, Ordering::SeqCst) {
                    return Err(io::Error::other("a failure that this test is about"));
                }
                Ok(())
            })
        }))
        .unwrap();
        let (caller, answer) = mpsc::channel();
        let beside = || {
            syncer.beside(caller.clone());
            answer.recv().unwrap()
        };
        let here = || {
            syncer.here(caller.clone());
            answer.recv().unwrap()
        };
        assert!(beside() && here());
        let ways: [&dyn Fn() -> bool; 2] = [&beside, &here];
        for fail in ways {
            failing.store(true, Ordering::SeqCst);
            assert!(!fail());
            assert!(syncer.has_failed());
            assert!(!beside() && !here());
            syncer.begins_anew();
            assert!(beside() && here());
        }
    }
}
