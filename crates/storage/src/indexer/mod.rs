//! The thread that indexes the log, behind those who write it.
//!
//! It reads segments that no run covers, sorts whom they mention, and adds the pages of a run of that, a
//! few in a transaction. When there are as many runs of a tier as a larger one is made of, they are merged.
//! A run counts from the transaction on that ends it, and what it replaces no longer does; whatever is cut
//! off in between is cleared away.

mod build;
mod compaction;
mod read;
mod writer;

use audit_log::Slot;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use stores::StoreError;

pub(crate) use self::writer::IndexWriter;
use self::{build::Source, compaction::MergedRuns, read::Read};
use crate::{
    connection::{error::OpenError, url::DatabaseUrl},
    session::{Reading, Session},
    tables::{
        audit_index::{self as rows, Run},
        values,
    },
    threads,
};

/// How long a process lives before it indexes anything; a command of the operator's is over by then. And
/// how long it waits for others.
const START: Duration = Duration::from_secs(1);

/// How many segments are in memory at once.
const AT_ONCE: i64 = 128;

/// When and how much is indexed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexSettings {
    /// How often the thread looks whether there is enough to do.
    pub(crate) pause: Duration,
    /// How many segments a run of the first tier covers.
    pub(crate) segments: i64,
    /// How many events they have at the most, or about.
    pub(crate) events: i64,
    /// How many segments are enough once `max_delay` is over, so that few are left to be read one by one.
    pub(crate) min_segments: i64,
    pub(crate) max_delay: Duration,
    /// How many runs of a tier make one of the next.
    pub(crate) fanout: usize,
    /// How many pages are written in one transaction.
    pub(crate) pages_per_commit: usize,
    /// How many pages a run has at the most that is still merged with others.
    pub(crate) max_pages: i64,
}

impl IndexSettings {
    /// As they were found to be good: a run of the first tier has about 100 ms of a busy log, and of one
    /// with more than 64 MiB no larger one is made.
    pub(crate) const DEFAULT: Self = Self {
        pause: Duration::from_millis(50),
        segments: 256,
        events: 32_768,
        min_segments: 64,
        max_delay: Duration::from_secs(10),
        fanout: 16,
        pages_per_commit: 32,
        max_pages: 16_384,
    };
}

/// The index, as its owner has it.
pub(crate) struct Indexing {
    /// When it is dropped, the thread ends.
    _thread: mpsc::Sender<()>,
}

/// How many segments this process may have added, for all it knows.
pub(crate) type SegmentCounter = Arc<AtomicU64>;

impl Indexing {
    /// Starts the thread.
    pub(crate) fn start(
        url: &DatabaseUrl,
        sizes: IndexSettings,
        writer: impl IndexWriter,
        segment_counter: SegmentCounter,
    ) -> Result<Self, OpenError> {
        let (thread, stop) = mpsc::channel();
        let indexer = Indexer::new(url, sizes, writer, stop);
        threads::spawn("audit-index", move || indexer.run(&segment_counter))?;
        Ok(Self { _thread: thread })
    }
}

/// Why there is nothing more to be done now.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The owner is gone.
    Stopped,
    Failed(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// What came of looking for something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Some was done, and there may be enough for more.
    More,
    /// There is nothing more.
    Done,
    /// Others are in the way.
    Later,
}

/// The thread.
struct Indexer<H> {
    url: DatabaseUrl,
    session: Option<Session<Reading>>,
    sizes: IndexSettings,
    writer: H,
    /// Up to which number every segment is there that ever will be.
    settled: i64,
    stop: mpsc::Receiver<()>,
}

impl<H: IndexWriter> Indexer<H> {
    fn new(url: &DatabaseUrl, sizes: IndexSettings, writer: H, stop: mpsc::Receiver<()>) -> Self {
        Self {
            url: url.clone(),
            session: None,
            sizes,
            writer,
            settled: 0,
            stop,
        }
    }

    fn run(mut self, segment_counter: &SegmentCounter) {
        let many = u64::try_from(self.sizes.segments).unwrap_or(0);
        let mut failing = false;
        let mut waiting = false;
        let mut seen = None;
        let mut last = Instant::now();
        loop {
            let written = segment_counter.load(Ordering::Relaxed);
            let due = match seen {
                _ if waiting && last.elapsed() < START.min(self.sizes.max_delay) => false,
                // What an earlier process has left behind is seen to, unless this one ends at once.
                None if !failing => last.elapsed() >= START.min(self.sizes.max_delay),
                Some(seen) if written == seen => false,
                Some(seen) if !failing && written.wrapping_sub(seen) >= many => true,
                _ => last.elapsed() >= self.sizes.max_delay,
            };
            if due {
                match self.work() {
                    Ok(done) => {
                        failing = false;
                        waiting = !done;
                        if done {
                            seen = Some(written);
                        }
                    }
                    Err(Halt::Stopped) => return,
                    Err(Halt::Failed(error)) => {
                        self.session = None;
                        if !failing {
                            tracing::warn!(%error, "the audit log can't be indexed; its lists are slow until it can");
                        }
                        failing = true;
                    }
                }
                last = Instant::now();
            }
            if self.stop.recv_timeout(self.sizes.pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Does all that there is to do; whether nobody was in the way.
    fn work(&mut self) -> Result<bool, Halt> {
        if !self.writer.acquire()? {
            return Ok(false);
        }
        let done = self.all();
        let released = self.writer.release();
        done.and_then(|done| released.map(|()| done))
    }

    /// Does all that there is to do, once nobody else does; whether nobody was in the way.
    fn all(&mut self) -> Result<bool, Halt> {
        loop {
            let outcome = self.flush()?;
            while self.compact()? {}
            while self.gc()? {}
            match outcome {
                Outcome::More => {}
                Outcome::Done => return Ok(true),
                Outcome::Later => return Ok(false),
            }
        }
    }

    /// Makes a run of segments that no other covers.
    fn flush(&mut self) -> Result<Outcome, Halt> {
        let mut read = self.next()?;
        if read
            .as_ref()
            .is_some_and(|read| read.is_blocked(&self.sizes))
        {
            match self.writer.wait_for_inflight()? {
                Some(settled) => self.settled = settled,
                None => return Ok(Outcome::Later),
            }
            read = self.next()?;
        }
        let Some(read) = read.filter(|read| !read.slots.is_empty()) else {
            return Ok(Outcome::Done);
        };
        let base = read.slots.iter().min().copied();
        let last = read.slots.iter().max().copied();
        let source = Source::Segments {
            after: read.after,
            to: read.to,
            last_id: read.last_id,
        };
        let mut postings = read.mentions.postings();
        let slots = (base.unwrap_or(Slot::FIRST), last.unwrap_or(Slot::FIRST));
        let built = self.build(source, 0, slots, |_| Ok(postings.next()))?;
        Ok(if built && read.left >= self.sizes.segments {
            Outcome::More
        } else {
            Outcome::Done
        })
    }

    /// Reads the next segments that no run covers, if there are a few.
    fn next(&mut self) -> Result<Option<Read>, Halt> {
        let (sizes, settled) = (self.sizes, self.settled);
        // All of it at one time: a number that is free again could be another segment's by the next.
        self.read(|session| session.snapshot(|session| Read::next(session, &sizes, settled)))
    }

    /// Merges runs, if there are enough of one tier; whether it did.
    fn compact(&mut self) -> Result<bool, Halt> {
        let runs = self.read(|session| session.run(rows::runs))?;
        let Some(sources) = self.pick_compaction(&runs) else {
            return Ok(false);
        };
        let first = sources.iter().map(|run| run.first_slot).min();
        let last = sources.iter().map(|run| run.last_slot).max();
        let slots = (
            Slot::read(first.unwrap_or(0)).map_err(values::undecodable)?,
            Slot::read(last.unwrap_or(0)).map_err(values::undecodable)?,
        );
        let tier = sources.iter().map(|run| run.tier).max().unwrap_or(0) + 1;
        let ids: Vec<i64> = sources.iter().map(|run| run.id).collect();
        let mut merge = MergedRuns::of(&ids);
        self.build(Source::Runs(ids), tier, slots, |indexer| {
            merge.next(indexer)
        })
    }

    /// The oldest runs of the lowest tier that has enough of them.
    fn pick_compaction(&self, runs: &[Run]) -> Option<Vec<Run>> {
        let highest = runs.iter().map(|run| run.tier).max()?;
        (0..=highest).find_map(|tier| {
            let of_tier = |run: &&Run| run.tier == tier && run.pages <= self.sizes.max_pages;
            let oldest: Vec<Run> = runs
                .iter()
                .filter(of_tier)
                .take(self.sizes.fanout)
                .copied()
                .collect();
            (oldest.len() == self.sizes.fanout).then_some(oldest)
        })
    }

    /// Deletes what no longer counts; whether there was any.
    fn gc(&mut self) -> Result<bool, Halt> {
        let Some(run) = self.read(|session| session.run(rows::dropped))? else {
            return Ok(false);
        };
        let limit = i64::try_from(self.sizes.pages_per_commit).unwrap_or(i64::MAX);
        loop {
            let begun = Instant::now();
            let gone = self
                .writer
                .change(move |session| session.run(|c| rows::gc(c, run, limit)))?;
            if gone {
                return Ok(true);
            }
            thread::sleep(begun.elapsed());
        }
    }

    fn read<T>(
        &mut self,
        question: impl FnOnce(&mut Session<Reading>) -> Result<T, StoreError>,
    ) -> Result<T, Halt> {
        if self.stop.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
            return Err(Halt::Stopped);
        }
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::connect(&self.url)?),
        };
        Ok(question(session)?)
    }
}

#[cfg(test)]
mod tests;
