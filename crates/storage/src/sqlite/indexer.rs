//! The thread that indexes the log, behind those who write it.
//!
//! It reads segments that no run covers, sorts whom they mention, and has the writer add the pages of a
//! run of that, a few at a time, as anybody has changes made. When there are as many runs of a tier as a
//! larger one is made of, they are merged. A run counts from the transaction on that ends it, and what
//! it replaces no longer does; whatever is cut off in between is cleared away.

mod build;
mod merge;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use stores::StoreError;
use tokio::sync::oneshot;

use self::{build::Source, merge::Merge};
use super::work::{Job, Pending};
use crate::{
    dialect::index::{self as rows, Run},
    error::OpenError,
    events::{
        Subject,
        index::{Posting, Slot},
        subjects_of,
    },
    queue::{Queue, WeakQueue},
    session::{Reading, Session, Writing},
    url::DatabaseUrl,
    values,
};

/// How long a process lives before it indexes anything; a command of the operator's is over by then.
const START: Duration = Duration::from_secs(1);

/// How many segments are in memory at once.
const AT_ONCE: i64 = 128;

/// When and how much is indexed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How often the thread looks whether there is enough to do.
    pub(crate) pause: Duration,
    /// How many segments a run of the first tier covers.
    pub(crate) segments: i64,
    /// How many events they have at the most, or about.
    pub(crate) events: i64,
    /// How many segments are enough once `patience` is over, so that few are left to be read one by one.
    pub(crate) few: i64,
    pub(crate) patience: Duration,
    /// How many runs of a tier make one of the next.
    pub(crate) fan: usize,
    /// How many pages are written in one transaction.
    pub(crate) chunk: usize,
    /// How many pages a run has at the most that is still merged with others.
    pub(crate) large: i64,
}

impl Sizes {
    /// As they were found to be good: a run of the first tier has about 100 ms of a busy log, and of one
    /// with more than 64 MiB no larger one is made.
    pub(crate) const USUAL: Self = Self {
        pause: Duration::from_millis(50),
        segments: 256,
        events: 32_768,
        few: 64,
        patience: Duration::from_secs(10),
        fan: 16,
        chunk: 32,
        large: 16_384,
    };
}

/// The index, as the writer and its owner have it.
pub(super) struct Indexing {
    /// When it is dropped, the thread ends.
    _thread: mpsc::Sender<()>,
}

/// How many segments the writer may have added, for all it knows.
pub(super) type News = Arc<AtomicU64>;

impl Indexing {
    /// Starts the thread.
    pub(super) fn start(
        url: &DatabaseUrl,
        sizes: Sizes,
        jobs: &Queue<Job>,
        news: News,
    ) -> Result<Self, OpenError> {
        let (thread, stop) = mpsc::channel();
        let indexer = Indexer {
            url: url.clone(),
            session: None,
            sizes,
            jobs: jobs.downgrade(),
            stop,
        };
        thread::Builder::new()
            .name("audit-index".to_owned())
            .spawn(move || indexer.run(&news))?;
        Ok(Self { _thread: thread })
    }
}

/// Why there is nothing more to be done now.
#[derive(Debug)]
enum Halt {
    /// The owner is gone.
    Stopped,
    Failed(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The thread.
struct Indexer {
    url: DatabaseUrl,
    session: Option<Session<Reading>>,
    sizes: Sizes,
    jobs: WeakQueue<Job>,
    stop: mpsc::Receiver<()>,
}

impl Indexer {
    fn run(mut self, news: &News) {
        let many = u64::try_from(self.sizes.segments).unwrap_or(0);
        let mut failing = false;
        let mut seen = None;
        let mut last = Instant::now();
        loop {
            let written = news.load(Ordering::Relaxed);
            let due = match seen {
                // What an earlier process has left behind is seen to, unless this one ends at once.
                None if !failing => last.elapsed() >= START.min(self.sizes.patience),
                Some(seen) if written == seen => false,
                Some(seen) if !failing && written.wrapping_sub(seen) >= many => true,
                _ => last.elapsed() >= self.sizes.patience,
            };
            if due {
                let outcome = if seen.is_none() {
                    self.begin().and_then(|()| self.work())
                } else {
                    self.work()
                };
                match outcome {
                    Ok(()) => {
                        failing = false;
                        seen = Some(written);
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

    /// Gives up what another process has begun; if it still lives, it begins anew.
    fn begin(&mut self) -> Result<(), Halt> {
        self.write(|session| session.run(rows::drop_unfinished))
    }

    /// Does all that there is to do.
    fn work(&mut self) -> Result<(), Halt> {
        loop {
            let covered = self.cover()?;
            while self.merge()? {}
            while self.clear()? {}
            if !covered {
                return Ok(());
            }
        }
    }

    /// Makes a run of segments that no other covers; whether there may be enough for another one.
    fn cover(&mut self) -> Result<bool, Halt> {
        let sizes = self.sizes;
        // All of it at one time: a number that is free again could be another segment's by the next.
        let Some(read) =
            self.read(|session| session.snapshot(|session| Read::next(session, &sizes)))?
        else {
            return Ok(false);
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
        Ok(built && read.left >= sizes.segments)
    }

    /// Merges runs, if there are enough of one tier; whether it did.
    fn merge(&mut self) -> Result<bool, Halt> {
        let runs = self.read(|session| session.run(rows::runs))?;
        let Some(sources) = self.enough(&runs) else {
            return Ok(false);
        };
        let first = sources.iter().map(|run| run.first_slot).min();
        let last = sources.iter().map(|run| run.last_slot).max();
        let slots = (
            Slot::read(first.unwrap_or(0))?,
            Slot::read(last.unwrap_or(0))?,
        );
        let tier = sources.iter().map(|run| run.tier).max().unwrap_or(0) + 1;
        let ids: Vec<i64> = sources.iter().map(|run| run.id).collect();
        let mut merge = Merge::of(&ids);
        self.build(Source::Runs(ids), tier, slots, |indexer| {
            merge.next(indexer)
        })
    }

    /// The oldest runs of the lowest tier that has enough of them.
    fn enough(&self, runs: &[Run]) -> Option<Vec<Run>> {
        let highest = runs.iter().map(|run| run.tier).max()?;
        (0..=highest).find_map(|tier| {
            let of_tier = |run: &&Run| run.tier == tier && run.pages <= self.sizes.large;
            let oldest: Vec<Run> = runs
                .iter()
                .filter(of_tier)
                .take(self.sizes.fan)
                .copied()
                .collect();
            (oldest.len() == self.sizes.fan).then_some(oldest)
        })
    }

    /// Deletes what no longer counts; whether there was any.
    fn clear(&mut self) -> Result<bool, Halt> {
        let Some(run) = self.read(|session| session.run(rows::dropped))? else {
            return Ok(false);
        };
        let limit = i64::try_from(self.sizes.chunk).unwrap_or(i64::MAX);
        loop {
            let begun = Instant::now();
            let gone = self.write(move |session| session.run(|c| rows::clear(c, run, limit)))?;
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

    /// Has the writer make a change.
    fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Session<Writing>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Halt> {
        let (caller, answer) = oneshot::channel();
        let jobs = self.jobs.upgrade().ok_or(Halt::Stopped)?;
        jobs.send_blocking(Job::Work(Box::new(Pending::new(change, caller))))
            .map_err(|_| Halt::Stopped)?;
        drop(jobs);
        let answer = answer.blocking_recv().map_err(|_| Halt::Stopped)?;
        Ok(answer?)
    }
}

/// Whom segments mention in which slots.
#[derive(Default)]
struct Mentions(HashMap<Subject, Vec<Slot>, RandomState>);

impl Mentions {
    fn add(&mut self, subject: &Subject, slot: Slot) {
        let slots = self.0.entry(*subject).or_default();
        // Segments come about in the order of their slots.
        if slots.last() != Some(&slot) {
            slots.push(slot);
        }
    }

    /// All of them, sorted, none twice.
    fn postings(self) -> impl Iterator<Item = Posting> {
        let mut subjects: Vec<_> = self.0.into_iter().collect();
        subjects.sort_unstable_by_key(|(subject, _)| *subject);
        subjects.into_iter().flat_map(|(subject, mut slots)| {
            slots.sort_unstable();
            slots.dedup();
            slots.into_iter().map(move |slot| (subject, slot))
        })
    }
}

/// What was read of segments that no run covers.
struct Read {
    mentions: Mentions,
    /// The slots of the segments.
    slots: Vec<Slot>,
    /// The number before theirs, the last of theirs, and the last id of that.
    after: i64,
    to: i64,
    last_id: Vec<u8>,
    /// How many are left, or fewer.
    left: i64,
}

impl Read {
    /// The next ones, if there are a few.
    fn next(session: &mut Session<Reading>, sizes: &Sizes) -> Result<Option<Self>, StoreError> {
        let after = session.run(rows::covered)?;
        let newest = session.run(rows::newest)?;
        if newest - after < sizes.few {
            return Ok(None);
        }
        let mut read = Self {
            mentions: Mentions::default(),
            slots: Vec::new(),
            after,
            to: after,
            last_id: Vec::new(),
            left: 0,
        };
        let mut events = 0;
        while read.to - after < sizes.segments && events < sizes.events {
            let limit = (sizes.segments - (read.to - after)).min(AT_ONCE);
            let segments =
                session.run(|connection| rows::segments_after(connection, read.to, limit))?;
            if segments.is_empty() {
                break;
            }
            for segment in segments {
                let id = <[u8; 16]>::try_from(&segment.last_id[..])
                    .map_err(|_| values::corrupt("the id of a segment"))?;
                let slot = Slot::of_bytes(id);
                read.slots.push(slot);
                for subject in subjects_of(&segment.body)? {
                    read.mentions.add(subject, slot);
                }
                (read.to, read.last_id) = (segment.number, segment.last_id);
                events += segment.events;
            }
        }
        read.left = newest - read.to;
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests;
