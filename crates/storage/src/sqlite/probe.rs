//! Whether the writer takes changes, found out by a transaction that changes no row.

use std::{
    thread,
    time::{Duration, Instant},
};

use stores::StoreError;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::work::{Job, Pending};
use crate::{
    connection::error,
    control::WriteProbe,
    group_commit::queue::{Queue, WeakQueue},
    session::{Session, Writing},
    tables::meta,
};

/// How long the writer may stand still before it counts as one that takes no changes.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the first answer is waited for.
const FIRST_TIMEOUT: Duration = Duration::from_millis(500);

type Answer = oneshot::Receiver<Result<(), StoreError>>;

/// Asks the writer, one question after the other.
pub(crate) struct WriterProbe {
    jobs: WeakQueue<Job>,
    pending: Option<(Instant, Answer)>,
    /// None before the first answer.
    last: Option<Result<(), StoreError>>,
}

impl WriterProbe {
    pub(super) fn new(jobs: &Queue<Job>) -> Self {
        Self {
            jobs: jobs.downgrade(),
            pending: None,
            last: None,
        }
    }

    /// Queues a transaction that changes no row.
    fn ask(&self) -> Option<Answer> {
        let (caller, answer) = oneshot::channel();
        // `BEGIN IMMEDIATE` is not enough: in a file that can't be written it begins to read.
        let nothing = |session: &mut Session<Writing>| session.run(meta::try_to_write);
        let job = Job::Probe(Box::new(Pending::new(nothing, caller)));
        // A queue that is full is busy, and what is in it tells soon enough.
        self.jobs.upgrade()?.send(job).ok()?;
        Some(answer)
    }
}

impl WriterProbe {
    /// Takes the answer, if it is there.
    fn take_answer(&mut self) {
        if let Some((asked, answer)) = &mut self.pending {
            match answer.try_recv() {
                Ok(outcome) => {
                    self.last = Some(outcome);
                    self.pending = None;
                }
                Err(TryRecvError::Empty) if asked.elapsed() < STALL_TIMEOUT => {}
                Err(TryRecvError::Empty) => {
                    self.last = Some(Err(error::unavailable("the writer stands still")));
                }
                Err(TryRecvError::Closed) => {
                    self.last = Some(Err(StoreError::Unavailable(None)));
                    self.pending = None;
                }
            }
        }
        if self.pending.is_none() {
            self.pending = self.ask().map(|answer| (Instant::now(), answer));
        }
    }
}

impl WriteProbe for WriterProbe {
    fn outcome(&mut self) -> Result<(), StoreError> {
        let deadline = Instant::now() + FIRST_TIMEOUT;
        self.take_answer();
        while self.last.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
            self.take_answer();
        }
        let unknown = || Err(error::unavailable("the writer has not answered yet"));
        self.last.clone().unwrap_or_else(unknown)
    }
}
