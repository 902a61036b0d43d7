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
    wal,
    work::{BatchMode, Job},
};
use crate::{
    connection::{error::OpenError, url::DatabaseUrl},
    group_commit::{acks::AckPolicy, queue::Receiver},
    indexer::SegmentCounter,
    session::{Session, Writing},
};

/// How long the writer tries to empty the log before those who wait are told to come again.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(1);

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
        let mut mode = BatchMode::NoSavepoint;
        let mut attempt = 1;
        self.session.forget_conflict();
        let outcome = loop {
            mode = match self.session.nested(|session| batch.run(session, mode)) {
                Ok(()) => break Ok(()),
                // Hardly any closure fails; the others have done nothing wrong.
                Err(Failed::Work) => BatchMode::Savepoint,
                // The process was stopped between the stamps and the segments.
                Err(Failed::Store(_)) if self.session.forget_conflict() && attempt < ATTEMPTS => {
                    attempt += 1;
                    mode
                }
                // Somebody's event can't be written, and it is the same with that.
                Err(Failed::Store(error))
                    if mode != BatchMode::SavepointWithEvents && !error.is_temporary() =>
                {
                    BatchMode::SavepointWithEvents
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
        if !batch.needs_sync() {
            batch.answer(&outcome);
            self.checkpoints.committed(&mut self.session);
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
        while !self.session.run(wal::empty)? {
            // The engine does not wait for another checkpoint, or whoever reads for long.
            if begun.elapsed() > EMPTY_TIMEOUT {
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
    session.run(wal::commit_without_waiting)?;
    Ok(session)
}

#[cfg(test)]
mod tests;
