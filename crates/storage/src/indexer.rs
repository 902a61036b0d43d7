//! The thread that indexes the log, behind those who write it.
//!
//! It reads segments that no run covers, sorts whom they mention, and adds the pages of a run of that, a
//! few in a transaction. When there are as many runs of a tier as a larger one is made of, they are merged.
//! A run counts from the transaction on that ends it, and what it replaces no longer does; whatever is cut
//! off in between is cleared away.

mod build;
mod hand;
mod merge;
mod read;

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

pub(crate) use self::hand::Hand;
use self::{build::Source, merge::Merge, read::Read};
use crate::{
    dialect::index::{self as rows, Run},
    error::OpenError,
    events::index::Slot,
    session::{Reading, Session},
    threads,
    url::DatabaseUrl,
};

/// How long a process lives before it indexes anything; a command of the operator's is over by then. And
/// how long it waits for others.
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

/// The index, as its owner has it.
pub(crate) struct Indexing {
    /// When it is dropped, the thread ends.
    _thread: mpsc::Sender<()>,
}

/// How many segments this process may have added, for all it knows.
pub(crate) type News = Arc<AtomicU64>;

impl Indexing {
    /// Starts the thread.
    pub(crate) fn start(
        url: &DatabaseUrl,
        sizes: Sizes,
        hand: impl Hand,
        news: News,
    ) -> Result<Self, OpenError> {
        let (thread, stop) = mpsc::channel();
        let indexer = Indexer::new(url, sizes, hand, stop);
        threads::spawn("audit-index", move || indexer.run(&news))?;
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
    sizes: Sizes,
    hand: H,
    /// Up to which number every segment is there that ever will be.
    settled: i64,
    stop: mpsc::Receiver<()>,
}

impl<H: Hand> Indexer<H> {
    fn new(url: &DatabaseUrl, sizes: Sizes, hand: H, stop: mpsc::Receiver<()>) -> Self {
        Self {
            url: url.clone(),
            session: None,
            sizes,
            hand,
            settled: 0,
            stop,
        }
    }

    fn run(mut self, news: &News) {
        let many = u64::try_from(self.sizes.segments).unwrap_or(0);
        let mut failing = false;
        let mut waiting = false;
        let mut seen = None;
        let mut last = Instant::now();
        loop {
            let written = news.load(Ordering::Relaxed);
            let due = match seen {
                _ if waiting && last.elapsed() < START.min(self.sizes.patience) => false,
                // What an earlier process has left behind is seen to, unless this one ends at once.
                None if !failing => last.elapsed() >= START.min(self.sizes.patience),
                Some(seen) if written == seen => false,
                Some(seen) if !failing && written.wrapping_sub(seen) >= many => true,
                _ => last.elapsed() >= self.sizes.patience,
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
        if !self.hand.claim()? {
            return Ok(false);
        }
        let done = self.all();
        let disclaimed = self.hand.disclaim();
        done.and_then(|done| disclaimed.map(|()| done))
    }

    /// Does all that there is to do, once nobody else does; whether nobody was in the way.
    fn all(&mut self) -> Result<bool, Halt> {
        loop {
            let outcome = self.cover()?;
            while self.merge()? {}
            while self.clear()? {}
            match outcome {
                Outcome::More => {}
                Outcome::Done => return Ok(true),
                Outcome::Later => return Ok(false),
            }
        }
    }

    /// Makes a run of segments that no other covers.
    fn cover(&mut self) -> Result<Outcome, Halt> {
        let mut read = self.next()?;
        if read
            .as_ref()
            .is_some_and(|read| read.is_blocked(&self.sizes))
        {
            match self.hand.settle()? {
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
            let gone = self
                .hand
                .change(move |session| session.run(|c| rows::clear(c, run, limit)))?;
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
