//! The share of the readers that lists have, and whose turn it is.
//!
//! A list may read for many milliseconds, an authentication for one. So lists hold no more than half of the
//! readers, and one partner no more than half of that. Who waits does so in a queue of its credential;
//! turns go round, first among partners, then among a partner's keys.

#[cfg(test)]
mod tests;
mod turns;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stores::{Requester, StoreError};
use tokio::sync::oneshot;

use self::turns::{Id, Turns};
use crate::{
    pool::Pool,
    session::{Reading, Session, WorkLimit},
};

/// How long a list waits at the most.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a page may be read before it ends where it is.
const PAGE_TIMEOUT: Duration = Duration::from_millis(100);

/// What lists do now, and what has become of them since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListStats {
    /// How many are read now.
    pub running: usize,
    /// How many wait for their turn.
    pub waiting: usize,
    /// How many were refused because of others of the same credential.
    pub refused: u64,
    /// How many pages ended because their budget was used up.
    pub cut: u64,
    /// How many were given up because nobody waited for the result any more.
    pub abandoned: u64,
}

#[derive(Debug, Default)]
struct Counters {
    refused: AtomicU64,
    cut: AtomicU64,
    abandoned: AtomicU64,
}

/// The queue in front of the readers that lists may use.
#[derive(Clone)]
pub(crate) struct ListQueue {
    state: Arc<Mutex<Turns>>,
    counters: Arc<Counters>,
}

/// The right to use one reader for a list, until it is dropped.
pub(crate) struct ListPermit {
    owner: Id,
    state: Arc<Mutex<Turns>>,
}

impl ListQueue {
    /// A queue for this many readers, of which lists get half.
    pub(crate) fn new(readers: usize) -> Self {
        Self {
            state: Arc::new(Mutex::new(Turns::new((readers / 2).max(1)))),
            counters: Arc::default(),
        }
    }

    /// Waits for a turn. Whoever drops the future leaves the queue.
    ///
    /// # Errors
    /// [`StoreError::Throttled`] when too many lists of this credential wait already or take too long,
    /// [`StoreError::Overloaded`] when too many wait in all or the turn does not come in time.
    pub(crate) async fn acquire(&self, by: Requester) -> Result<ListPermit, StoreError> {
        let (sender, turn) = oneshot::channel();
        self.state.lock().enqueue(by, sender).inspect_err(|error| {
            if matches!(error, StoreError::Throttled) {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        grant(&self.state);
        match tokio::time::timeout(WAIT_TIMEOUT, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            // It has waited for its own others, and nobody else is concerned.
            Err(_) if self.state.lock().has_its_share(by) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Throttled)
            }
            Ok(Err(_)) | Err(_) => Err(StoreError::Overloaded),
        }
    }

    /// Reads a list once it is its turn. When the future is dropped, a list that waits leaves the queue, and
    /// one that is read ends at its next step.
    pub(crate) async fn run<T, E>(
        &self,
        by: Requester,
        readers: &Pool<Reading>,
        work: impl FnOnce(&mut Session<Reading>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let abandoned = Arc::new(AtomicBool::new(false));
        let _set = SetOnDrop(Arc::clone(&abandoned));
        let permit = self.acquire(by).await?;
        let counters = Arc::clone(&self.counters);
        let read = readers.run(move |sessions| {
            let _permit = permit;
            let mut session = sessions.get()?;
            session.set_limit(Some(WorkLimit {
                deadline: Instant::now() + PAGE_TIMEOUT,
                abandoned: Arc::clone(&abandoned),
            }));
            let outcome = session.check_wanted().map_err(E::from);
            let outcome = outcome.and_then(|()| session.ask(work));
            session.set_limit(None);
            if session.take_cut() {
                counters.cut.fetch_add(1, Ordering::Relaxed);
            }
            if abandoned.load(Ordering::Relaxed) {
                counters.abandoned.fetch_add(1, Ordering::Relaxed);
            }
            outcome
        });
        read.await
    }

    /// What lists do, and what has become of them.
    pub(crate) fn stats(&self) -> ListStats {
        let mut state = self.state.lock();
        state.purge();
        ListStats {
            running: state.running(),
            waiting: state.waiting(),
            refused: self.counters.refused.load(Ordering::Relaxed),
            cut: self.counters.cut.load(Ordering::Relaxed),
            abandoned: self.counters.abandoned.load(Ordering::Relaxed),
        }
    }
}

/// Tells the work that nobody waits for it any more.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for ListPermit {
    fn drop(&mut self) {
        self.state.lock().release(self.owner);
        grant(&self.state);
    }
}

/// Gives free slots to those whose turn it is.
fn grant(state: &Arc<Mutex<Turns>>) {
    loop {
        let Some((owner, sender)) = state.lock().next() else {
            return;
        };
        let permit = ListPermit {
            owner,
            state: Arc::clone(state),
        };
        // Where nobody waits any more, the permit comes back and is dropped: its slot is free again.
        drop(sender.send(permit));
    }
}
